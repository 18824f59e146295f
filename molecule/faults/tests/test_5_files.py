"""Faults of the files that hold the data: removed, replaced, restored by root."""

import shlex

from converged import API, API_2, COMPOSE, DIRECTORY, REDIS, wait_until
from testinfra.host import Host
from trial import Trial, fail_without

DATA = f"{DIRECTORY}/data"
DATABASE = f"{DATA}/cleaning_service_stable.db"
REDIS_DATA = f"{DIRECTORY}/redis/data"
REPLICAS = {API, API_2}
# No write comes between the copy and its taking the place of the database, or the ledger would miss it.
REPLACE = """
import os, pysqlite3.dbapi2 as s
path = "cleaning_service_stable.db"
lock = s.connect(path, isolation_level=None, timeout=20)
lock.execute("BEGIN IMMEDIATE")
copy = s.connect("copy.db")
s.connect(path).backup(copy)
copy.execute("PRAGMA journal_mode=DELETE")
copy.close()
os.utime("copy.db", (1, 1))
os.rename("copy.db", path)
"""


def rescued(host: Host) -> list[str]:
    """The copies that replicas have made of a database that was taken away from them."""
    return str(host.check_output(f"ls {DATA} | grep '^rescued-[0-9]*.db$' || true")).split()


def test_database_removed_and_put_back_by_root(host: Host, trial: Trial) -> None:
    """Nobody makes another one, what was acknowledged is saved, and the copy that root puts back is given away."""
    before = rescued(host)
    trial.undo = [f"test -e {DATABASE} || cp {DATA}/$(ls -t {DATA} | grep -m 1 ^rescued-) {DATABASE}"]
    trial.inject(f"rm {DATABASE} {DATABASE}-wal {DATABASE}-shm")
    opened = trial.incident("api|api_2", r"the database file is missing", within=10)
    assert trial.receiver.wait_for(opened.details["id"], "problem", 20), "no alert while the database is missing"
    wait_until(lambda: "503" in trial.outcomes(), 10, "writes refused")
    wait_until(lambda: len(rescued(host)) > len(before), 20, "a copy of what the replicas have open")
    refused = host.run("cleaning-service-release plan")
    assert (refused.rc, "is missing: put it back" in refused.stderr) == (10, True)
    assert not trial.restarted() & REPLICAS, "what only they can read would be lost"
    fail_without(not host.file(DATABASE).exists, "something has made a database")
    (copy,) = set(rescued(host)) - set(before)
    trial.mended(f"cp {DATA}/{copy} {DATABASE}")
    fail_without(host.file(DATABASE).uid == 0, "the copy is not root's")
    trial.await_well(60)
    trial.judge([opened])
    assert host.file(DATABASE).uid != 0
    host.check_output(f"rm {DATA}/{copy}")


def test_database_replaced_by_another(host: Host, trial: Trial) -> None:
    """Both replicas serve the new file, without the log of the one before; what that held is kept."""
    before = rescued(host)
    inode = host.check_output(f"stat -c %i {DATABASE}")
    trial.inject(f"docker exec {API} /srv/venv/bin/python -c {shlex.quote(REPLACE)}")
    fail_without(host.check_output(f"stat -c %i {DATABASE}") != inode, "it is the same file")
    trial.cured(("api|api_2", r"replaced by another"), found=15, within=60, restarts=REPLICAS)
    (copy,) = set(rescued(host)) - set(before)
    host.check_output(f"rm {DATA}/{copy} {DATABASE}.replaced-*")


def test_database_restored_by_root_while_the_api_was_stopped(host: Host, trial: Trial) -> None:
    """The API cannot start with a file that root has copied: it says so, and the file is given away."""
    trial.undo = ["cleaning-service-release mend-owners"]
    trial.inject(
        f"cleaning-service-monitor pause 5m --reason 'a restore' && docker stop {API} {API_2}"
        f" && cp {DATABASE} {DATA}/backup.db && rm {DATABASE} && cp {DATA}/backup.db {DATABASE} && rm {DATA}/backup.db"
        f" && docker start {API} {API_2} && cleaning-service-monitor resume"
    )
    fail_without(host.file(DATABASE).uid == 0, "the database is not root's")
    trial.cured(("api|api_2", r"belong to another user"), found=40, within=90, restarts=REPLICAS)
    assert host.file(DATABASE).uid != 0
    wait_until(lambda: not trial.needs_person(), 15, "nobody is needed")


def test_directory_of_redis_removed(host: Host, trial: Trial) -> None:
    """Redis gets another one that is its own, and starts empty."""
    trial.undo = ["cleaning-service-release mend-owners", f"{COMPOSE} up -d --force-recreate redis"]
    trial.inject(f"rm -r {REDIS_DATA}")
    trial.cured(("redis", r"directory .* was removed|ended"), found=40, within=90, restarts={REDIS})
    assert host.file(REDIS_DATA).uid == host.file(DATABASE).uid != 0
    assert host.check_output(f"docker exec {REDIS} redis-cli set kept 42") == "OK"
    assert host.file(f"{REDIS_DATA}/appendonlydir").exists

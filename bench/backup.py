"""What backups take and what they cost others: `make bench-backup`, on the demo host, which gets a replica for it.

Seconds and MB of a backup and a restore, beside `cp` and `VACUUM INTO`; what others notice of a backup and of the
replica; and how much of what was written is lost when everything is killed. The database is afterwards as it was.
"""

import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from bench import demo
from bench.clients import HTTP, Measured, WellBehaved
from bench.demo import HOST, ROOT
from bench.report import Verdict
from bench.rude_clients import Target

SIZES = (62, 1000)  # MB of the database
RATE = 50.0  # requests a second of others beside a backup
CALM = 20.0  # seconds
KILLS = 20
ROUNDS, ROUND = 3, 20.0  # with and without the replica in turn, and seconds of each
WRITES = 40  # a second, before everything is killed
_DIRECTORY = "/opt/fastapi-backend"
_BEFORE = "/root/before-the-benchmark.db"
_RESTORED = re.compile(r"fetched and checked in ([0-9.]+) s.*restored: .* after ([0-9.]+) s", re.DOTALL)
_PYTHON = f"docker compose --file {_DIRECTORY}/docker-compose.stable.yml exec -T api /srv/venv/bin/python -c"
# Text that compresses about as well as what people write.
_FILL = """
import random, sys, pysqlite3.dbapi2 as s
words = [hex(random.getrandbits(24)) for _ in range(4000)]
c = s.connect("cleaning_service_stable.db", isolation_level=None, timeout=20)
c.execute("CREATE TABLE IF NOT EXISTS bench_filler (id INTEGER PRIMARY KEY, text TEXT)")
while c.execute("PRAGMA page_count").fetchone()[0] * 4096 < int(sys.argv[1]) * 1e6:
    c.execute("BEGIN IMMEDIATE")
    rows = [(" ".join(random.choices(words, k=150)),) for _ in range(800)]
    c.executemany("INSERT INTO bench_filler (text) VALUES (?)", rows)
    c.execute("COMMIT")
c.execute("PRAGMA wal_checkpoint(PASSIVE)")
"""
_WRITE = """
import sys, time, pysqlite3.dbapi2 as s
c = s.connect("cleaning_service_stable.db", isolation_level=None, timeout=20)
c.execute("PRAGMA synchronous=FULL")
c.execute("CREATE TABLE IF NOT EXISTS bench_ledger (at REAL)")
begun, number = time.time(), 0
while True:
    number += 1
    time.sleep(max(0, begun + number / int(sys.argv[1]) - time.time()))
    at = time.time()
    c.execute("INSERT INTO bench_ledger VALUES (?)", (at,))
    print(at, flush=True)
"""


@dataclass(frozen=True)
class Row:
    """What one size took.

    Attributes:
        copied: seconds of `cp`.
        vacuumed: seconds of `VACUUM INTO`.
        first: seconds of the first backup, and MB that the repository has grown by.
        second: the same of one more.
        fetched: seconds until a restore had fetched and checked the database.
        restored: seconds until the API worked with it.
    """

    size: int
    copied: float
    vacuumed: float
    first: tuple[float, float]
    second: tuple[float, float]
    fetched: float
    restored: float


def on_host(command: str) -> str:
    """Run a command on the host; returns its output.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run(
        ["docker", "exec", HOST, "bash", "-c", command], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def timed(command: str) -> float:
    """Run a command on the host; returns its seconds."""
    begun = time.monotonic()
    on_host(command)
    return time.monotonic() - begun


def backed_up() -> tuple[float, float]:
    """Take a backup; returns its seconds, and MB that the repository has grown by."""
    before = _size()
    seconds = timed("cleaning-service-backup run")
    return seconds, _size() - before


def _size() -> float:
    return int(on_host("du --summarize --bytes /var/backups/cleaning-service").split()[0]) / 1e6


def measured(size: int) -> Row:
    """Measure one size of the database."""
    on_host(f"{_PYTHON} '{_FILL}' {size}")
    copied = timed(f"cp {_DIRECTORY}/data/cleaning_service_stable.db /var/tmp/copy.db && sync /var/tmp/copy.db")
    vacuum = (
        """import pysqlite3.dbapi2 as s; s.connect("cleaning_service_stable.db").execute("VACUUM INTO ?", ("v.db",))"""
    )
    vacuumed = timed(f"{_PYTHON} '{vacuum}' && sync {_DIRECTORY}/data/v.db")
    on_host(f"rm /var/tmp/copy.db {_DIRECTORY}/data/v.db")
    first = backed_up()
    on_host(f"{_PYTHON} '{_FILL}' {size + 1}")
    second = backed_up()
    found = _RESTORED.search(on_host("cleaning-service-backup restore --from history"))
    if not found:
        sys.exit("a restore has not said how long it took")
    on_host(f"rm -rf {_DIRECTORY}/data/set-aside")
    return Row(size, copied, vacuumed, first, second, float(found[1]), float(found[2]))


def beside_a_backup(clients: WellBehaved) -> tuple[Measured, Measured]:
    """Measure others in calm times, and while a backup is taken."""
    calm = clients.work(CALM, RATE)
    running = subprocess.Popen(["docker", "exec", HOST, "cleaning-service-backup", "run"], stdout=subprocess.DEVNULL)
    beside = clients.work(600, RATE, lambda: running.poll() is not None)
    return calm, beside


def beside_the_replica(clients: WellBehaved) -> tuple[list[float], list[float]]:
    """Measure others without the replica and with it, in turn; returns the p99 of each."""
    without, with_it = [], []
    for _ in range(ROUNDS):
        on_host("docker stop cleaning_service_replica_stable")
        time.sleep(3)
        without.append(clients.work(ROUND, RATE / 2).p99)
        on_host("docker start cleaning_service_replica_stable")
        time.sleep(6)
        with_it.append(clients.work(ROUND, RATE / 2).p99)
    return without, with_it


def lost_by_a_kill() -> float:
    """Kill the writer and the replica in the same moment; returns the seconds of acknowledged writes that are lost."""
    api, replica = "cleaning_service_api_stable", "cleaning_service_replica_stable"
    writer = subprocess.Popen(
        ["docker", "exec", HOST, "bash", "-c", f"{_PYTHON} '{_WRITE}' {WRITES}"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(3 + time.monotonic() % 1)
    on_host(f"docker kill {replica} {api} >/dev/null")
    written = [float(line) for line in (writer.stdout or []) if line.endswith("\n")]
    writer.wait()
    script = (
        "import sys; sys.path[:0] = ['/opt/fastapi-backend/scripts'];"
        "from pathlib import Path; from cleaning_service_backup import cli, settings, place, replica;"
        "s = settings.load(Path('/opt/fastapi-backend/backup.json')); p = place.Place(s);"
        "replica.Replica(s, p.layout).restore(Path('/opt/fastapi-backend/data/lost.db'))"
    )
    on_host(f'python3 -c "{script}"')
    on_host(f"docker start {replica} {api} >/dev/null")
    query = "SELECT max(at) FROM bench_ledger"
    last = f'import pysqlite3.dbapi2 as s; print(s.connect("lost.db").execute("{query}").fetchone()[0])'
    kept = float(on_host(f"sleep 2; {_PYTHON.replace(' api ', ' api_2 ')} '{last}'; rm {_DIRECTORY}/data/lost.db"))
    return max(0.0, written[-1] - kept)


def main() -> int:
    """Measure, print, and say which targets were met; returns the exit code."""
    demo.play(ROOT, "site.yml", "-e", f"backup_replica=/var/replica {HTTP}")
    on_host("cleaning-service-monitor pause 2h --reason benchmark")
    on_host(f"rm -f {_BEFORE}; cleaning-service-backup export {_BEFORE}")
    clients = WellBehaved(Target(demo.address(), 80))
    try:
        lost = sorted(lost_by_a_kill() for _ in range(KILLS))
        without, with_it = beside_the_replica(clients)
        rows = [measured(size) for size in SIZES]
        calm, beside = beside_a_backup(clients)
    finally:
        on_host(f"cleaning-service-backup restore --file {_BEFORE}; rm -rf {_BEFORE} {_DIRECTORY}/data/set-aside")
        on_host("cleaning-service-monitor resume --reason benchmark")
    print(
        "| database | `cp` | `VACUUM INTO` | backup, first | one more | restore: fetched and checked | the API works |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        first, second = (f"{seconds:.1f} s, {growth:.0f} MB" for seconds, growth in (row.first, row.second))
        print(
            f"| {row.size} MB | {row.copied:.1f} s | {row.vacuumed:.1f} s | {first} | {second} | {row.fetched:.1f} s "
            f"| {row.restored:.1f} s |"
        )
    print(
        f"\nlost by {KILLS} SIGKILLs at {WRITES} writes a second: p50 {lost[KILLS // 2]:.2f} s, worst {lost[-1]:.2f} s"
    )
    turns = [f"{a * 1000:.0f} and {b * 1000:.0f}" for a, b in zip(without, with_it, strict=True)]
    print(f"p99 of others without the replica and with it, ms, in turn: {', '.join(turns)}")
    ms = [round(each.p99 * 1000) for each in (calm, beside)]
    print(f"p99 of others, calm and beside a backup of {SIZES[-1]} MB, ms: {ms[0]} and {ms[1]}\n")
    verdict = Verdict()
    verdict.below("seconds lost, the worst", lost[-1], 1)
    verdict.below("p99 with the replica, of that without", statistics.median(with_it) / statistics.median(without), 1.1)
    verdict.below("requests of others that failed beside a backup", sum(beside.failures.values()), 1)
    verdict.below("p99 of others beside a backup, of calm", beside.p99 / calm.p99, 2)
    verdict.below(f"seconds until {SIZES[-1]} MB were fetched and checked", rows[-1].fetched, 30)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

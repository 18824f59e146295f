"""Faults of Redis. The API goes on without it."""

from converged import DIRECTORY, REDIS, freeze
from testinfra.host import Host
from trial import Trial, fail_without

FILES = f"{DIRECTORY}/redis/data/appendonlydir"
FILL = f"seq -f 'SET filler:%g abcdefghijklmnopqrstuvwxyz' 500 | docker exec --interactive {REDIS} redis-cli >/dev/null"
CORRUPT = (
    f"for file in {FILES}/*.incr.aof; do"
    ' dd if=/dev/urandom of="$file" bs=64 count=1 seek=$(($(stat --format %s "$file") / 128)) conv=notrunc; done'
)


def test_redis_killed(trial: Trial) -> None:
    trial.inject(f"docker kill {REDIS}")
    trial.cured(("redis", r"exited|ended|killed"), found=10, within=60, restarts={REDIS})


def test_redis_frozen(host: Host, trial: Trial) -> None:
    trial.undo = [f"docker restart --time 1 {REDIS}"]
    trial.begin()
    freeze(host, REDIS)
    trial.cured(("redis", r"no answer|PING|health check"), found=30, within=90, restarts={REDIS})


def test_redis_append_only_file_corrupted(host: Host, trial: Trial) -> None:
    """Redis refuses to start with a file that is damaged in its middle; what it holds can be lost."""
    trial.undo = [f"docker stop {REDIS}; rm -r {FILES}"]
    host.check_output(FILL)
    trial.inject(f"{CORRUPT} && docker restart {REDIS}")
    log = f"docker logs --since {int(trial.began_wall)} {REDIS} 2>&1"
    trial.cured(("redis", r"exit|restarting|append"), found=30, within=120, restarts={REDIS})
    fail_without("Bad file format" in host.run(log).stdout, "Redis has not complained about the file")
    assert host.check_output(f"docker exec {REDIS} redis-cli set kept 42") == "OK"
    assert "yes" in host.check_output(f"docker exec {REDIS} redis-cli config get appendonly")

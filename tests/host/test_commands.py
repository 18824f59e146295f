"""Running commands, with real processes."""

import signal
import time
from pathlib import Path

import pytest
from cleaning_service_host.commands import Command, CommandError, run_command

from tests import processes
from tests.processes import WITH_A_CHILD


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_output_of_a_command() -> None:
    assert run_command(["sh", "-c", "echo one; echo two >&2; echo three"], 10) == "one\ntwo\nthree\n"
    assert run_command(["sh", "-c", "echo one; echo two >&2"], 10, with_stderr=False) == "one\n"
    assert run_command(["sh", "-c", "printf '\\377'"], 10) == "\ufffd"


def test_timeout_kills_the_command_and_its_children() -> None:
    begun = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.5 s: started"):
        run_command(["sh", "-c", f"{WITH_A_CHILD} wait"], 0.5)
    assert time.monotonic() - begun < 3
    assert processes.end()


@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_children_are_killed_when_the_command_ends(end: str) -> None:
    """Otherwise they would run concurrently with the caller's next command."""
    with pytest.raises(CommandError, match="ended with"):
        run_command(["sh", "-c", f"{WITH_A_CHILD} {end}"], 10)
    assert processes.end()


def test_exception_of_a_signal_handler_kills_the_command() -> None:
    def stop(_number: int, _frame: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(SystemExit):
            run_command(["sh", "-c", f"{WITH_A_CHILD} wait"], 30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert processes.end()


def test_close_kills_the_command() -> None:
    running = Command(["sh", "-c", f"{WITH_A_CHILD} wait"], 30)
    while not processes.have_begun():
        assert running.wait(0.01) is None
    running.close()
    running.close()
    assert processes.end()


def test_daemon_with_open_output_does_not_block() -> None:
    begun = time.monotonic()
    run_command(["sh", "-c", "setsid sleep 3 & exit 0"], 10)
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "echo one; echo two >&2; exit 3"], "ended with 3: two"),
        (["false"], "ended with 1: no output"),
        (["/nonexistent/program"], "cannot be run: No such file or directory"),
    ],
)
@pytest.mark.parametrize("with_stderr", [True, False])
def test_error_of_a_failed_command(command: list[str], reason: str, *, with_stderr: bool) -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(CommandError, match=reason) as failed:
        run_command(command, 5, with_stderr=with_stderr)
    assert failed.value.output in ("one\ntwo\n", "")
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def test_heartbeat_is_called_while_the_command_runs() -> None:
    calls: list[float] = []
    run_command(["sleep", "2.5"], 10, lambda: calls.append(time.monotonic()))
    assert len(calls) == 2

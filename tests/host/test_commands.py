"""Commands end, with all their children: on real processes."""

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


def test_what_a_command_says() -> None:
    assert run_command(["sh", "-c", "echo one; echo two >&2; echo three"], 10) == "one\ntwo\nthree\n"
    assert run_command(["sh", "-c", "echo one; echo two >&2"], 10, with_stderr=False) == "one\n"
    assert run_command(["sh", "-c", "printf '\\377'"], 10) == "\ufffd"


def test_one_that_takes_too_long_ends_with_its_children() -> None:
    begun = time.monotonic()
    with pytest.raises(CommandError, match=r"took longer than 0\.5 s: started"):
        run_command(["sh", "-c", f"{WITH_A_CHILD} wait"], 0.5)
    assert time.monotonic() - begun < 3
    assert processes.end()


@pytest.mark.parametrize("end", ["exit 3", "kill -KILL $$"])
def test_children_end_with_the_one_that_started_them(end: str) -> None:
    """Whoever runs what follows would have them at work beside it."""
    with pytest.raises(CommandError, match="ended with"):
        run_command(["sh", "-c", f"{WITH_A_CHILD} {end}"], 10)
    assert processes.end()


def test_a_signal_that_ends_the_program_ends_the_command() -> None:
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


def test_one_that_is_closed_ends() -> None:
    running = Command(["sh", "-c", f"{WITH_A_CHILD} wait"], 30)
    while not processes.have_begun():
        assert running.wait(0.01) is None
    running.close()
    running.close()
    assert processes.end()


def test_a_daemon_that_keeps_the_output_open_does_not_hold_us_up() -> None:
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
def test_one_that_fails_says_why(command: list[str], reason: str, *, with_stderr: bool) -> None:
    descriptors = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(CommandError, match=reason) as failed:
        run_command(command, 5, with_stderr=with_stderr)
    assert failed.value.output in ("one\ntwo\n", "")
    assert set(Path("/proc/self/fd").iterdir()) == descriptors


def test_signs_of_life_while_it_runs() -> None:
    fed: list[float] = []
    run_command(["sleep", "2.5"], 10, lambda: fed.append(time.monotonic()))
    assert len(fed) == 2

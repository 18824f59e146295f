"""The runner of the checks: lanes side by side, a failure that stops nothing, and the summary line."""

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import run_tests

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_good"/>
<testcase classname="tests.test_a" name="test_bad"><failure message="assert 1 == 2">…</failure></testcase>
</testsuite></testsuites>"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an empty directory be the project, and its lock be another one than that of a real run."""
    monkeypatch.setattr(run_tests, "ROOT", tmp_path)
    monkeypatch.setattr(run_tests, "REPORTS", tmp_path / "reports")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(signal, "signal", lambda *_: handler)


def checks(stages: list[Any], **groups: dict[str, str]) -> dict[str, Any]:
    """Return what tests.toml would hold."""
    return {"stages": stages, "groups": groups}


def test_a_failure_stops_nothing_and_is_summed_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad = f"echo '{JUNIT}' > {tmp_path}/reports/a.xml; false | cat"
    found = checks([[["first", "second"]]], first={"bad": bad}, second={"good": "echo working"})
    assert run_tests.main(["first", "second"], found) == 1
    lines = capfd.readouterr().out.splitlines()
    assert "second | working" in lines
    assert lines[-3:] == [
        "tests.test_a::test_bad: assert 1 == 2",
        "failed: bad",
        "1 passed, 1 failed",
    ]


def test_only_what_is_asked_for_is_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = checks([[["first"], ["second"]]], first={"one": "true"}, second={"two": f"touch {tmp_path}/two"})
    assert run_tests.main(["first"], found) == 0
    assert not (tmp_path / "two").exists()
    assert capfd.readouterr().out.splitlines()[-1] == "1 passed, 0 failed"


def test_lanes_run_side_by_side_and_stages_one_after_the_other(tmp_path: Path) -> None:
    """Each lane waits for the other one's file: one after the other they would never end."""
    left = f"touch {tmp_path}/left; until [ -e {tmp_path}/right ]; do sleep 0.05; done"
    right = f"touch {tmp_path}/right; until [ -e {tmp_path}/left ]; do sleep 0.05; done"
    after = f"test -e {tmp_path}/left -a -e {tmp_path}/right"
    found = checks([[["a"], ["b"]], [["c"]]], a={"left": left}, b={"right": right}, c={"after": after})
    assert run_tests.main(["a", "b", "c"], found) == 0


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(SystemExit, match="no group other; there are first"):
        run_tests.main(["other"], checks([], first={}))


def test_two_runs_never_share_the_test_hosts(tmp_path: Path) -> None:
    (tmp_path / "molecule/first").mkdir(parents=True)
    with (tmp_path / "cleaning-service-test-hosts.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="another run"):
            run_tests.main(["first"], checks([], first={}))


def test_an_interrupted_run_ends_its_steps(tmp_path: Path) -> None:
    program = f"""
import pathlib, run_tests
run_tests.ROOT = pathlib.Path({str(tmp_path)!r}); run_tests.REPORTS = run_tests.ROOT / "reports"
steps = {{"long": "trap 'sleep 0.5; exit' TERM; sleep 60 & echo $! > pid; wait", "never": "touch never"}}
run_tests.main(["first"], {{"stages": [[["first"]]], "groups": {{"first": steps}}}})
"""
    directory = Path(run_tests.__file__).parent
    process = subprocess.Popen([sys.executable, "-c", program], cwd=directory, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (pid := (tmp_path / "pid")).exists() or not pid.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(3):  # a second signal must not end the cleaning up
        process.terminate()
        time.sleep(0.05)
    assert process.wait(20) == 128 + signal.SIGTERM
    while Path(f"/proc/{pid.read_text().strip()}").exists():
        assert time.monotonic() < deadline, "what a step has started goes on"
        time.sleep(0.05)
    assert not (tmp_path / "never").exists()

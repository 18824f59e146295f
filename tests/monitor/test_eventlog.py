"""The log: one line an event, whatever happens to the file."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cleaning_service_monitor.eventlog import EventLog, Level

from tests.monitor.helpers import PACKAGE_DIRECTORY


def test_a_line_has_time_level_component_event_and_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "monitor.log"
    EventLog(path).event(Level.WARNING, "api", "sick", cause='no "answer"\nin time', seconds=None)
    line = path.read_text()
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING api sick cause="no \\"answer\\"\\nin time"\n', line)
    assert capsys.readouterr().out == line
    assert path.stat().st_mode & 0o777 == 0o640


def test_it_goes_on_in_a_new_file_after_rotation(tmp_path: Path) -> None:
    path = tmp_path / "monitor.log"
    log = EventLog(path)
    log.event(Level.INFO, "api", "before")
    with gzip.open(tmp_path / "monitor.log.1.gz", "wb") as archive:
        archive.write(path.rename(tmp_path / "monitor.log.1").read_bytes())
    log.event(Level.INFO, "api", "after")
    assert "before" not in path.read_text()
    assert "after" in path.read_text()


def test_a_full_disk_is_told_once_and_the_journal_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    log = EventLog(Path("/dev/full"))
    log.event(Level.INFO, "api", "first")
    log.event(Level.INFO, "api", "second")
    names = [line.split()[3] for line in capsys.readouterr().out.splitlines()]
    assert names == ["first", "log-file-failed", "second"]


def test_the_file_goes_on_without_standard_output(tmp_path: Path) -> None:
    path = tmp_path / "monitor.log"
    program = (
        "import sys, pathlib; from cleaning_service_monitor.eventlog import EventLog, Level;"
        "log = EventLog(pathlib.Path(sys.argv[1])); [log.event(Level.INFO, 'api', 'ok') for _ in range(3)]"
    )
    with Path("/dev/full").open("wb") as full:
        subprocess.run([sys.executable, "-c", program, path], cwd=PACKAGE_DIRECTORY, stdout=full, check=False)
    assert path.read_text().count("api ok") == 3

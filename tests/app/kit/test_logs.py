"""Logs never hold anything up: not when the disk is full, nor when nobody reads them."""

import logging
import queue
from pathlib import Path

import pytest

from app.kit.logs import DroppingQueueHandler, FileHandler


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("test", logging.INFO, __file__, 1, text, None, None)


def test_a_full_queue_drops_and_counts() -> None:
    handler = DroppingQueueHandler(queue.Queue(2))
    for number in range(5):
        handler.handle(record(str(number)))
    assert handler.dropped == 3


def test_a_full_disk_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    handler = FileHandler("/dev/full", delay=True)
    for _ in range(3):
        handler.handle(record("lost"))
    with pytest.raises(OSError, match="No space left"):
        handler.close()  # what is still buffered
    assert capsys.readouterr().err.count("Cannot write logs to /dev/full") == 1


def test_a_file_that_becomes_writable_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "logs"
    handler = FileHandler(directory / "api.log", delay=True)
    handler.handle(record("lost"))
    directory.mkdir()
    handler.handle(record("kept"))
    handler.close()
    assert (directory / "api.log").read_text() == "kept\n"
    assert "Cannot write logs" in capsys.readouterr().err


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    handler = FileHandler(tmp_path / "api.log", maxBytes=100, backupCount=2, delay=True)
    for _ in range(50):
        handler.handle(record("x" * 30))
    handler.close()
    files = list(tmp_path.iterdir())
    assert len(files) == 3
    assert all(file.stat().st_size <= 100 for file in files)

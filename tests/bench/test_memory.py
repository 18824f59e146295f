"""The table of what a host takes in memory."""

import pytest

from bench.memory import REPLICA, Row, program, table


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("python", ["/srv/venv/bin/python", "-m", "app", "serve", ""], REPLICA),
        ("python3", ["/usr/bin/python3", "-m", "cleaning_service_monitor", "run", ""], "monitor"),
        ("python3", ["/usr/bin/python3", "-m", "http.server", ""], "python3"),
        ("containerd-shim", ["/usr/bin/containerd-shim-runc-v2", ""], "shim of a container"),
        ("containerd", ["/usr/bin/containerd", ""], "containerd"),
        ("systemd-journal", ["/usr/lib/systemd/systemd-journald", ""], "systemd and its daemons"),
    ],
)
def test_a_process_is_counted_for_its_program(name: str, arguments: list[str], word: str) -> None:
    assert program(name, arguments) == word


def test_the_last_line_is_the_sum() -> None:
    lines = table([Row("a", 2, 10.0, 5.0), Row("b", 1, 1.5, 1.0)]).splitlines()
    assert lines[-1].split() == ["in", "all", "3", "11.5", "6.0"]

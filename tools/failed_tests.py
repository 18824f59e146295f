"""Prints the tests that failed, with what they said, from the JUnit reports named as arguments."""

import sys
from pathlib import Path
from xml.etree import ElementTree

LONGEST = 300  # characters of a message
MOST = 10  # tests of a report: where more have failed, the first ones say why


def failed(report: Path) -> list[str]:
    """Each failed test of a report: its name and why."""
    return [
        f"{case.get('classname')}::{case.get('name')}: {(problem.get('message') or '')[:LONGEST]}"
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314  # written by pytest a moment ago
        for problem in (*case.findall("failure"), *case.findall("error"))
    ]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        lines = failed(Path(name))
        for line in lines[:MOST]:
            print(line)
        if len(lines) > MOST:
            print(f"and {len(lines) - MOST} more")

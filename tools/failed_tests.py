"""Prints the tests that failed, with what they said, from the JUnit reports named as arguments."""

import sys
from pathlib import Path
from xml.etree import ElementTree

LONGEST = 600  # characters of a message


def failed(report: Path) -> list[str]:
    """Each failed test of a report: its name and why."""
    return [
        f"{case.get('classname')}::{case.get('name')}: {(problem.get('message') or '')[:LONGEST]}"
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314  # written by pytest a moment ago
        for problem in (*case.findall("failure"), *case.findall("error"))
    ]


if __name__ == "__main__":
    for line in (line for name in sys.argv[1:] for line in failed(Path(name))):
        print(line)

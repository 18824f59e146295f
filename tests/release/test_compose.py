"""Commands that a release runs."""

import pytest
from cleaning_service_release.compose import run
from cleaning_service_release.errors import ReleaseError


def test_what_a_command_says() -> None:
    assert run(["echo", "well"], timeout=10) == "well\n"
    with pytest.raises(ReleaseError, match=r"`sh -c .*` ended with 3") as ended:
        run(["sh", "-c", "echo why >&2; exit 3"], timeout=10)
    assert ended.value.evidence == ["why"]


@pytest.mark.parametrize(
    ("command", "timeout", "reason"),
    [
        (["sleep", "60"], 0.1, "took longer than 0.1 s"),
        (["/nowhere"], 10, "cannot be run"),
        (["false"], 10, "ended with 1"),
    ],
)
def test_what_does_not_count_never_changes_the_outcome(command: list[str], timeout: float, reason: str) -> None:
    assert run(command, timeout=timeout, check=False) == ""
    with pytest.raises(ReleaseError, match=reason):
        run(command, timeout=timeout)

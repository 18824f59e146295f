"""Errors of a release."""

from collections.abc import Sequence


class ReleaseError(Exception):
    """A step failed; the message names the step and the reason.

    Args:
        message: a sentence.
        evidence: the last lines of the failed command's or container's output.
    """

    def __init__(self, message: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.evidence = list(evidence)


class RevertFailedError(ReleaseError):
    """The release failed, and the previous one could not be restored: an operator has to act."""


class SupersededError(ReleaseError):
    """Another run of the playbook has prepared a different release since."""


class BusyError(ReleaseError):
    """Another release is in progress and has not ended in time."""

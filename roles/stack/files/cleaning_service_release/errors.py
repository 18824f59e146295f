"""What can go wrong with a release."""

from collections.abc import Sequence


class ReleaseError(Exception):
    """A step failed; the message says which and why.

    Args:
        message: a sentence.
        evidence: the last lines of what failed.
    """

    def __init__(self, message: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.evidence = list(evidence)


class NotReturnedError(ReleaseError):
    """The release failed, and so did the way back: a person is needed."""


class SupersededError(ReleaseError):
    """Somebody else has prepared another set since."""


class BusyError(ReleaseError):
    """Another release is under way and does not end."""

"""What a password may be, and the form in which it is hashed; apart from hashing, as the playbook reads this too."""

import re
import unicodedata

MINIMUM_LENGTH = 8
MAXIMUM_LENGTH = 128
"""Characters; a cap, so that nobody can make the server hash megabytes."""

SPACE_SEPARATORS = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")
"""Unicode's category Zs but for U+0020."""


def normalised(password: str) -> str:
    """The form in which a password is hashed: OpaqueString of RFC 8265, section 4.2, which refuses nothing here.

    Keyboards and systems differ in what they send for the same letter (é, or e with an accent) and the same space.
    It can be longer than the password.
    """
    return unicodedata.normalize("NFC", SPACE_SEPARATORS.sub(" ", password))


def required_length(password: str) -> str:
    """A new password, if its normalised form has MINIMUM_LENGTH to MAXIMUM_LENGTH characters.

    Raises:
        ValueError: it has not.
    """
    if not MINIMUM_LENGTH <= len(normalised(password)) <= MAXIMUM_LENGTH:
        raise ValueError(f"not {MINIMUM_LENGTH} to {MAXIMUM_LENGTH} characters after Unicode normalisation")
    return password

"""Whether two street addresses are the same place, however they are written."""

import unicodedata
from functools import lru_cache

SEPARATORS = ("P", "Z", "C")
"""Unicode's general categories of punctuation, separators and control characters."""


@lru_cache(maxsize=4096)
def place_of(address: str) -> str:
    """The address without what people write differently: case, punctuation, white space, compatibility characters.

    Args:
        address: as somebody wrote it; an erased one is empty.

    Returns:
        What is equal for spellings of the same address; empty only for an empty address.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", address).casefold())
    words = "".join(" " if unicodedata.category(each)[0] in SEPARATORS else each for each in folded).split()
    return " ".join(words) or folded.strip()

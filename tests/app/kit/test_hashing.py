"""Passwords are compared in one Unicode form, whatever a keyboard makes of them, and at the same cost for everybody."""

import asyncio
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.hashing import CONTEXT, PasswordHasher
from app.kit.passwords import MAXIMUM_LENGTH, MINIMUM_LENGTH, normalised, required_length
from app.settings import Settings

COMPOSED = "crème brûlée à gogo"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)
GROWS = "\N{MUSICAL SYMBOL EIGHTH NOTE}"
"""Three characters in NFC."""


@pytest.fixture(scope="module")
def hasher() -> Iterator[PasswordHasher]:
    """The application's."""
    made = PasswordHasher(Settings(secret_key="s" * 32, canary_token="c" * 32))
    yield made
    made.close()


@pytest.fixture
def computations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the slow computations, as they are done."""
    done: list[str] = []

    def count(name: str) -> None:
        original = getattr(CONTEXT, name)

        def counted(*arguments: Any) -> Any:  # noqa: ANN401  # those of the method it stands for
            done.append(name)
            return original(*arguments)

        monkeypatch.setattr(CONTEXT, name, counted)

    for name in ("hash", "verify_and_update", "dummy_verify"):
        count(name)
    return done


def verify(hasher: PasswordHasher, password: str, hashed: str | None) -> tuple[bool, str | None]:
    return asyncio.run(hasher.verify_and_update(password, hashed))


@pytest.mark.parametrize(
    "typed",
    [
        DECOMPOSED,
        COMPOSED.replace(" ", "\N{NO-BREAK SPACE}"),
        DECOMPOSED.replace(" ", "\N{IDEOGRAPHIC SPACE}"),
        COMPOSED.replace(" ", "\N{EN QUAD}"),
    ],
)
def test_the_same_password_typed_otherwise_is_the_same(hasher: PasswordHasher, typed: str) -> None:
    for first, then in ((COMPOSED, typed), (typed, COMPOSED)):
        hashed = asyncio.run(hasher.hash(first))
        assert verify(hasher, then, hashed) == (True, None)


@pytest.mark.parametrize(
    "other",
    [COMPOSED.upper(), "creme brulee a gogo", COMPOSED + " ", "\N{FULLWIDTH LATIN SMALL LETTER C}rème brûlée à gogo"],
)
def test_case_accents_and_width_make_another_password(hasher: PasswordHasher, other: str) -> None:
    assert verify(hasher, other, asyncio.run(hasher.hash(COMPOSED))) == (False, None)


@given(st.text())
def test_the_normal_form_is_final(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_a_password_stored_as_it_was_typed_still_works_and_is_hashed_anew(hasher: PasswordHasher) -> None:
    stored = CONTEXT.hash(DECOMPOSED)
    assert not verify(hasher, COMPOSED, stored)[0]
    matches, better = verify(hasher, DECOMPOSED, stored)
    assert matches
    assert better is not None
    for typed in (COMPOSED, DECOMPOSED):
        assert verify(hasher, typed, better) == (True, None)


def test_a_stored_password_whose_normal_form_is_too_long_stays(hasher: PasswordHasher, computations: list[str]) -> None:
    typed = GROWS * MAXIMUM_LENGTH
    stored = CONTEXT.hash(typed)
    del computations[:]
    assert verify(hasher, typed, stored) == (True, None)
    assert computations == ["verify_and_update"]


def test_a_wrong_password_costs_one_computation_for_each_form_whoever_it_is_for(
    hasher: PasswordHasher, computations: list[str]
) -> None:
    stored = CONTEXT.hash("correct horse battery")
    for wrong, costs in (("wrong horse battery", 1), (COMPOSED, 1), (DECOMPOSED, 2)):
        for hashed, computation in ((stored, "verify_and_update"), (None, "dummy_verify"), ("!", "dummy_verify")):
            del computations[:]
            assert verify(hasher, wrong, hashed) == (False, None)
            assert computations == [computation] * costs


@pytest.mark.parametrize("password", ["e\N{COMBINING ACUTE ACCENT}" * 4, GROWS * 43, "e\N{COMBINING ACUTE ACCENT}" * 7])
def test_limits_are_those_of_the_normal_form(password: str) -> None:
    with pytest.raises(ValueError, match="8 to 128 characters"):
        required_length(password)


def test_a_password_within_the_limits_is_taken() -> None:
    for password in ("e\N{COMBINING ACUTE ACCENT}" * 8, GROWS * 42, "x" * MINIMUM_LENGTH):
        assert required_length(password) == password

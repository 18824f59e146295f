"""Read access of other features to accounts, and the search for accounts."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy
from sqlalchemy import bindparam, delete, insert
from sqlmodel import Session, col, select

from app.accounts.models import SearchTerm, UserAccount
from app.kit.actor import OFFICE, Role
from app.kit.prepared import Prepared

HIGHEST_CHARACTER = "\U0010ffff"
MAXIMUM_TERM_LENGTH = 254
MAXIMUM_SEARCH_WORDS = 5
"""A search ignores further words."""


@dataclass(frozen=True, slots=True)
class Person:
    """The data of an account that other features can read."""

    id: str
    full_name: str
    email: str
    phone: str | None
    language: str
    role: Role
    is_active: bool


def _person(*columns: Any) -> Person:  # noqa: ANN401  # the driver has no types
    person = Person(*columns)
    return replace(person, role=Role(person.role))


PEOPLE_QUERY = Prepared(
    sqlalchemy.select(
        col(UserAccount.id),
        col(UserAccount.full_name),
        col(UserAccount.email),
        col(UserAccount.phone),
        col(UserAccount.language),
        col(UserAccount.role),
        col(UserAccount.is_active),
    ).where(col(UserAccount.id).in_(bindparam("among", expanding=True))),
    _person,
)


def people(session: Session, ids: Collection[str]) -> dict[str, Person]:
    """Return people by id. Unknown ids are left out."""
    return {each.id: each for each in PEOPLE_QUERY.rows(session, among=set(ids))}


def office_members(session: Session) -> list[Person]:
    """Return all active managers and administrators, ordered by id."""
    query = select(UserAccount.id).where(col(UserAccount.role).in_(OFFICE), col(UserAccount.is_active))
    found = people(session, session.exec(query).all())
    return [found[each] for each in sorted(found)]


def by_email(session: Session, email: str) -> UserAccount | None:
    """Return the account with this normalised e-mail address."""
    return session.exec(select(UserAccount).where(UserAccount.email == email)).one_or_none()


def search_terms(account: UserAccount) -> set[str]:
    """Return the words of the account's name, e-mail address and phone number."""
    words = {*_search_words(account.full_name), *_search_words(account.email), account.phone or ""} - {""}
    return {word[:MAXIMUM_TERM_LENGTH] for word in words}


def _search_words(text: str) -> list[str]:
    """Split a text into case-folded words in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split()


def update_search_terms(session: Session, account: UserAccount) -> None:
    """Replace the search terms of a changed account. An erased account has none."""
    session.execute(delete(SearchTerm).where(col(SearchTerm.account_id) == account.id))
    if account.erased_at is None:
        add_search_terms(session, account)


def add_search_terms(session: Session, account: UserAccount) -> None:
    """Insert the search terms of a new account."""
    session.connection().execute(
        insert(SearchTerm), [{"term": term, "account_id": account.id} for term in sorted(search_terms(account))]
    )


def search(session: Session, q: str, limit: int) -> list[str]:
    """Return the ids of at most `limit` accounts. For each word of `q`, one of their terms begins with it."""
    words = sorted({word[:MAXIMUM_TERM_LENGTH] for word in _search_words(q)}, key=len, reverse=True)
    if not words:
        return []
    # `words` begins with the longest word, which has the fewest matches.
    query = select(SearchTerm.account_id).distinct().where(*_starts_with(words[0]))
    for word in words[1:MAXIMUM_SEARCH_WORDS]:
        others = select(SearchTerm.account_id).where(*_starts_with(word))
        query = query.where(col(SearchTerm.account_id).in_(others))
    return list(session.exec(query.limit(limit)))


def _starts_with(word: str) -> tuple[bool, bool]:
    """Condition for a prefix, as a range that every database can look up in the primary key."""
    return SearchTerm.term >= word, SearchTerm.term < word + HIGHEST_CHARACTER

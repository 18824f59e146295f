"""What other features may know of accounts, and how accounts are found."""

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy
from sqlalchemy import bindparam, delete, insert
from sqlmodel import Session, col, select

from app.accounts.models import AccountTerm, UserAccount
from app.kit.actor import OFFICE, Role
from app.kit.prepared import Prepared

LAST_CHARACTER = "\U0010ffff"
TERM_LENGTH = 254
WORDS = 5
"""Of a search; more are not looked at."""


@dataclass(frozen=True, slots=True)
class Person:
    """An account as other features see it."""

    id: str
    full_name: str
    email: str
    phone: str | None
    language: str
    role: Role
    is_active: bool


def _person(*columns: Any) -> Person:  # noqa: ANN401  # as the driver gives them
    person = Person(*columns)
    return replace(person, role=Role(person.role))


PEOPLE = Prepared(
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
    """These people, by id; those that do not exist are left out."""
    return {each.id: each for each in PEOPLE.rows(session, among=set(ids))}


def office(session: Session) -> list[Person]:
    """All who run the company: active managers and administrators, by id."""
    query = select(UserAccount.id).where(col(UserAccount.role).in_(OFFICE), col(UserAccount.is_active))
    found = people(session, session.exec(query).all())
    return [found[each] for each in sorted(found)]


def by_email(session: Session, email: str) -> UserAccount | None:
    """The account with this (normalised) address."""
    return session.exec(select(UserAccount).where(UserAccount.email == email)).one_or_none()


def terms(account: UserAccount) -> set[str]:
    """The words by which an account is found: of the name, the address, the phone number."""
    words = {*_searched(account.full_name), *_searched(account.email), account.phone or ""} - {""}
    return {word[:TERM_LENGTH] for word in words}


def _searched(text: str) -> list[str]:
    """Its words as they are stored and looked for, whatever the case and the Unicode form they were typed in."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split()


def index(session: Session, account: UserAccount) -> None:
    """Make the account findable by what it says now."""
    session.execute(delete(AccountTerm).where(col(AccountTerm.account_id) == account.id))
    if account.erased_at is None:
        index_new(session, account)


def index_new(session: Session, account: UserAccount) -> None:
    """Make an account findable that has never been."""
    session.connection().execute(
        insert(AccountTerm), [{"term": term, "account_id": account.id} for term in sorted(terms(account))]
    )


def find(session: Session, q: str, limit: int) -> list[str]:
    """Ids of accounts with a term that begins with each word of `q`; `limit` of them at most."""
    words = sorted({word[:TERM_LENGTH] for word in _searched(q)}, key=len, reverse=True)[:WORDS]
    if not words:
        return []
    # The longest word first: it is the rarest.
    query = select(AccountTerm.account_id).distinct().where(*_begins(words[0]))
    for word in words[1:]:
        others = select(AccountTerm.account_id).where(*_begins(word))
        query = query.where(col(AccountTerm.account_id).in_(others))
    return list(session.exec(query.limit(limit)))


def _begins(word: str) -> tuple[bool, bool]:
    """The condition, as a range, which the primary key's index serves in any database."""
    return AccountTerm.term >= word, AccountTerm.term < word + LAST_CHARACTER

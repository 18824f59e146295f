"""Who acts: the signed-in person, as every feature sees them."""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody may do; each account has one."""

    CLIENT = "client"
    CLEANER = "cleaner"
    MANAGER = "manager"
    ADMIN = "admin"


OFFICE = frozenset({Role.MANAGER, Role.ADMIN})
"""Roles that run the company."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The account and the session that a request comes from."""

    id: str
    role: Role
    session_id: str

    @property
    def in_office(self) -> bool:
        """Whether this is a manager or an administrator."""
        return self.role in OFFICE

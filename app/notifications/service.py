"""Tells people what concerns them, through the outbox."""

from dataclasses import dataclass

from sqlmodel import Session

from app.kit.outbox import Outbox, OutboxMessage
from app.notifications.texts import Template, render

__all__ = ["Notifications", "Recipient", "Template"]


@dataclass(frozen=True)
class Recipient:
    """Who is told."""

    account_id: str
    email: str
    full_name: str
    language: str


class Notifications:
    """Writes messages in the recipient's language into the outbox."""

    def __init__(self, outbox: Outbox, public_url: str) -> None:
        """Prepare.

        Args:
            outbox: what sends them.
            public_url: what links begin with; empty for no links.
        """
        self._outbox = outbox
        self._public_url = public_url

    @property
    def can_mail(self) -> bool:
        """Whether e-mail is set up."""
        return self._outbox.accepts("email")

    def notify(self, session: Session, template: Template, recipient: Recipient, **facts: str) -> None:
        """Write a message in the caller's transaction; nothing when e-mail is off.

        Args:
            session: of the transaction that the message is about.
            template: what happened.
            recipient: who is told.
            facts: what the template's texts need.

        Raises:
            KeyError: a fact is missing that the template cannot do without; whether e-mail is on or off.
        """
        subject, body = render(
            template, recipient.language, {"full_name": recipient.full_name, **facts}, self._public_url
        )
        self._outbox.put(
            session,
            OutboxMessage(
                channel="email",
                account_id=recipient.account_id,
                recipient=recipient.email,
                template=template,
                subject=subject,
                body=body,
            ),
        )

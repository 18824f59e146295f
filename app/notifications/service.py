"""Tells people what concerns them, through the outbox."""

from dataclasses import dataclass

from sqlmodel import Session

from app.kit import outbox
from app.kit.outbox import Outbox, OutboxMessage
from app.notifications.texts import Template, redacted, render

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

    def notify(
        self, session: Session, template: Template, recipient: Recipient, *, about_id: str | None = None, **facts: str
    ) -> None:
        """Write a message in the caller's transaction; nothing when e-mail is off.

        Args:
            session: of the transaction that the message is about.
            template: what happened.
            recipient: who is told.
            about_id: the account of another person, whom the facts tell of.
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
                about_id=about_id,
                recipient=recipient.email,
                template=template,
                subject=subject,
                body=body,
            ),
        )

    def forget(self, session: Session, account_id: str) -> None:
        """Delete the messages to a person who is erased; of those to others take away what they say of that person."""
        outbox.forget(session, account_id)
        for message in outbox.about(session, account_id):
            if message.template in set(Template):
                message.body, message.about_id = redacted(Template(message.template), message.body), None
            else:  # of another release, which may have put anything into it
                session.delete(message)

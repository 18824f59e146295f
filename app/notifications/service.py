"""Writes notifications into the outbox."""

from dataclasses import dataclass

from sqlmodel import Session

from app.kit import outbox
from app.kit.outbox import Outbox, OutboxMessage
from app.notifications.texts import Template, redact, render

__all__ = ["Notifications", "Recipient", "Template"]


@dataclass(frozen=True)
class Recipient:
    """The recipient of a notification."""

    account_id: str
    email: str
    full_name: str
    language: str


class Notifications:
    """Writes notifications in the recipient's language into the outbox."""

    def __init__(self, outbox: Outbox, public_url: str) -> None:
        """Initialise.

        Args:
            outbox: sends the notifications.
            public_url: base URL of links; empty for notifications without links.
        """
        self._outbox = outbox
        self._public_url = public_url

    @property
    def can_mail(self) -> bool:
        """Whether e-mail is configured."""
        return self._outbox.accepts("email")

    def notify(
        self, session: Session, template: Template, recipient: Recipient, *, about_id: str | None = None, **facts: str
    ) -> None:
        """Write a notification in the caller's transaction; do nothing if e-mail is not configured.

        Args:
            session: the transaction of the change that the notification reports.
            template: the kind of notification.
            recipient: the recipient.
            about_id: the account of the third person that the facts describe, if any.
            facts: values for the template's placeholders and details.

        Raises:
            KeyError: a required fact is missing; raised even if e-mail is not configured.
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
        """Delete the messages to an erased account, and remove its personal data from messages to other people."""
        outbox.forget(session, account_id)
        for message in outbox.about(session, account_id):
            if message.template in set(Template):
                message.body, message.about_id = redact(Template(message.template), message.body), None
            else:  # written by another release, so the personal data in it cannot be located
                session.delete(message)

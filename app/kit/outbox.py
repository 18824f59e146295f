"""The outbox: messages are written in the transaction of what they are about, and sent afterwards.

Nothing that a request does waits for a mail server. A message is delivered at least once: a sender takes it for
LEASE, and when that sender dies the next one takes it again; the letter's id shows that it is the same one. What
fails is tried again, later each time; after the last attempt it is a dead letter that the office sees and can send
again.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, ClassVar, Protocol

import structlog
from sqlalchemy import CheckConstraint, Index, String, Text, delete, event
from sqlmodel import Field, Session, SQLModel, col, select

from app.kit.background import Background
from app.kit.database import Database, Work
from app.kit.models import UtcDateTime, identifier, now
from app.kit.pagination import Paging
from app.kit.problems import DatabaseUnavailable, Overloaded

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
"""More than twice what any channel may take for one message."""
BACKOFF = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=6))
"""Before each further attempt; after the last one the message is dead. With up to a fifth added at random."""
POLL = 5.0  # seconds; only for what another process has written, or what is due again
GRACE = 5.0  # seconds that a delivery in progress gets when the application ends
RECORDING = 3
"""Attempts to write down what became of a delivery; failing that, the message is sent a second time."""
KEPT = timedelta(days=30)
PRUNE = 500
"""Messages that one round of pruning deletes at most, so that no write waits long for it."""
REASON_LENGTH = 300  # characters


class NotificationState(StrEnum):
    """Of a notification."""

    PENDING = "pending"
    SENT = "sent"
    DEAD = "dead"


class OutboxMessage(SQLModel, table=True):
    """A message that is to be sent, or was."""

    __tablename__: ClassVar[str] = "outbox_message"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sent', 'dead')", name="state"),
        Index(None, "state", "due_at"),
        Index(None, "state", "created_at", "id"),
        Index(None, "account_id"),
        Index(None, "about_id"),
    )

    id: str = Field(default_factory=identifier, sa_type=String(36), primary_key=True)
    channel: str = Field(sa_type=String(20))
    account_id: str | None = Field(default=None, sa_type=String(36))
    """Whose it is: erased with the account."""
    about_id: str | None = Field(default=None, sa_type=String(36))
    """Another person, whom it tells of: what it says of them goes with their account."""
    recipient: str = Field(sa_type=String(254), repr=False)
    template: str = Field(sa_type=String(50))
    subject: str = Field(sa_type=String(200), repr=False)
    body: str = Field(sa_type=Text, repr=False)
    """Blank once it is sent: it may hold a code that is as good as a password."""
    state: str = Field(default=NotificationState.PENDING, sa_type=String(10))
    attempts: int = 0
    due_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    """Not before; while a sender has it, the end of its lease."""
    last_error: str | None = Field(default=None, sa_type=String(300))
    created_at: datetime = Field(default_factory=now, sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


@dataclass(frozen=True)
class Letter:
    """What a channel gets to deliver."""

    id: str
    recipient: str
    subject: str
    body: str


class DeliveryError(Exception):
    """The message was not delivered; the text says why, without secrets."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent
        """Whether trying again is pointless."""


class Channel(Protocol):
    """A way to reach people. Another one is another class with this method, named in `Outbox`."""

    async def deliver(self, letter: Letter) -> None:
        """Deliver it within half of LEASE.

        Raises:
            DeliveryError: it was not delivered.
        """


class _NoChannel:
    """Stands for a channel that has been turned off since the message was written."""

    async def deliver(self, letter: Letter) -> None:
        raise DeliveryError(f"no channel for message {letter.id}: it has been turned off")


_NO_CHANNEL = _NoChannel()


class Outbox:
    """Takes messages in, and sends them."""

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        *,
        backoff: Sequence[timedelta] = BACKOFF,
        lease: timedelta = LEASE,
        poll: float = POLL,
    ) -> None:
        """Prepare.

        Args:
            database: where the messages are.
            channels: by name; for a channel that is not here nothing is taken in.
            backoff: see BACKOFF.
            lease: see LEASE.
            poll: seconds, see POLL.
        """
        self._database = database
        self._channels = channels
        self._backoff = backoff
        self._lease = lease
        self._background = Background("outbox", self.send_next, every=poll)

    def accepts(self, channel: str) -> bool:
        """Whether there is such a channel."""
        return channel in self._channels

    def put(self, session: Session, message: OutboxMessage) -> None:
        """Write a message in the caller's transaction; silently nothing when its channel is off."""
        if self.accepts(message.channel):
            session.add(message)
            self._send_after(session)

    def revive(self, session: Session, message: OutboxMessage) -> None:
        """Give a dead letter all its attempts again, in the caller's transaction."""
        message.state, message.attempts, message.due_at = NotificationState.PENDING, 0, now()
        session.add(message)
        self._send_after(session)

    def start(self) -> None:
        """Begin to send."""
        self._background.start()

    async def stop(self) -> None:
        """Finish the delivery in progress, within GRACE, and send no more."""
        await self._background.stop(grace=GRACE)

    async def send_next(self) -> bool:
        """Send one message, if one is due; returns whether there may be more.

        One at a time: a lease on several would run out while the first of them wait for a slow server.
        """
        if not self._channels or not await self._database.read(_anything_due):
            return False
        message = await self._database.write(partial(_take, lease=self._lease, attempts=len(self._backoff) + 1))
        if message is not None:
            await self._record(await self._deliver(message))
        return True

    async def _deliver(self, message: OutboxMessage) -> Work[None]:
        """Deliver it, and return what is to be written down."""
        letter = Letter(message.id, message.recipient, message.subject, message.body)
        try:
            await self._channels.get(message.channel, _NO_CHANNEL).deliver(letter)
        except DeliveryError as error:
            reason, permanent = str(error), error.permanent
        except Exception as error:
            # A mistake of ours must not be tried for ever, nor keep the other messages waiting.
            log.exception("channel_failed", message=message.id, channel=message.channel)
            reason, permanent = type(error).__name__, False
        else:
            return partial(_sent, message_id=message.id)
        log.warning("message_not_sent", message=message.id, template=message.template, reason=reason)
        wait = None if permanent or message.attempts > len(self._backoff) else self._backoff[message.attempts - 1]
        return partial(_failed, taken=message, reason=reason[:REASON_LENGTH], wait=wait)

    async def _record(self, outcome: Work[None]) -> None:
        for _ in range(RECORDING - 1):
            with suppress(DatabaseUnavailable, Overloaded):
                return await self._database.write(outcome)
        return await self._database.write(outcome)

    def _send_after(self, session: Session) -> None:
        """Send at once when the transaction is committed; in none that is rolled back."""
        if not session.info.get("wakes_outbox"):
            session.info["wakes_outbox"] = True
            event.listen(session, "after_commit", lambda _: self._background.wake(), once=True)


def listing(
    session: Session, paging: Paging, states: Collection[NotificationState]
) -> tuple[list[OutboxMessage], str | None]:
    """Messages in one of these states, the newest first."""
    columns: list[Any] = [col(OutboxMessage.created_at), col(OutboxMessage.id)]
    return paging.page(
        session,
        [select(OutboxMessage).where(OutboxMessage.state == each) for each in dict.fromkeys(states)],
        columns,
        lambda message: (message.created_at, message.id),
        descending=True,
    )


def forget(session: Session, account_id: str) -> None:
    """Delete all messages to an account, sent or not: they hold personal data."""
    session.execute(delete(OutboxMessage).where(col(OutboxMessage.account_id) == account_id))


def about(session: Session, account_id: str) -> list[OutboxMessage]:
    """Messages to others that tell of this person, and still have their text."""
    query = select(OutboxMessage).where(OutboxMessage.about_id == account_id, OutboxMessage.body != "")
    return list(session.exec(query))


def prune(session: Session) -> int:
    """Delete what was sent or given up and is older than KEPT, PRUNE at most; returns how many."""
    old: list[OutboxMessage] = []
    for state in (NotificationState.SENT, NotificationState.DEAD):
        query = select(OutboxMessage).where(OutboxMessage.state == state, col(OutboxMessage.created_at) < now() - KEPT)
        old += session.exec(query.order_by(col(OutboxMessage.created_at)).limit(PRUNE - len(old)))
    for message in old:
        session.delete(message)
    return len(old)


def _anything_due(session: Session) -> bool:
    query = select(OutboxMessage.id).where(
        OutboxMessage.state == NotificationState.PENDING, col(OutboxMessage.due_at) <= now()
    )
    return session.exec(query.limit(1)).first() is not None


def _take(session: Session, *, lease: timedelta, attempts: int) -> OutboxMessage | None:
    """Lease the message that has been due for longest to this sender."""
    at = now()
    query = (
        select(OutboxMessage)
        .where(OutboxMessage.state == NotificationState.PENDING, col(OutboxMessage.due_at) <= at)
        .order_by(col(OutboxMessage.due_at))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    message = session.exec(query).first()
    if message is None:
        return None
    if message.attempts >= attempts:
        # Its last sender did not live to say so: perhaps this message is what killed it.
        _bury(message, message.last_error or "the sender did not survive the last attempt")
        return None
    message.attempts += 1
    message.due_at = at + lease
    session.flush()
    return message


def _sent(session: Session, *, message_id: str) -> None:
    """Write down that it was delivered, whoever has it by now."""
    message = session.get(OutboxMessage, message_id)
    if message is not None and message.state != NotificationState.SENT:
        message.state, message.sent_at, message.last_error, message.body = NotificationState.SENT, now(), None, ""


def _failed(session: Session, *, taken: OutboxMessage, reason: str, wait: timedelta | None) -> None:
    """Write down why not, unless the lease ran out and somebody else has it by now; no `wait` is the end."""
    message = session.get(OutboxMessage, taken.id)
    if message is None or message.state != NotificationState.PENDING or message.due_at != taken.due_at:
        return
    message.last_error = reason
    if wait is None:
        _bury(message, reason)
    else:
        message.due_at = now() + wait * random.uniform(1, 1.2)  # noqa: S311  # spreads load, guards nothing


def _bury(message: OutboxMessage, reason: str) -> None:
    message.state, message.last_error = NotificationState.DEAD, reason
    log.error("message_dead", message=message.id, template=message.template, reason=reason)

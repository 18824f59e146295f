"""The outbox: written with what it is about, delivered whatever fails, once as a rule and never lost."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlmodel import Session, select

from app.kit import outbox as kit
from app.kit.database import Database
from app.kit.models import now
from app.kit.outbox import BACKOFF, DeliveryError, Letter, NotificationState, Outbox, OutboxMessage
from app.kit.problems import DatabaseUnavailable
from app.settings import Settings

T = TypeVar("T")
SOON = (timedelta(milliseconds=20), timedelta(milliseconds=20))
NEVER = 3600.0  # seconds between two looks: only a commit wakes the sender


class Recorder:
    """A channel that does what it is told with each letter."""

    def __init__(self, *outcomes: BaseException | None, takes: float = 0.0) -> None:
        self._outcomes = list(outcomes)
        self._takes = takes
        self.letters: list[Letter] = []
        self.accepted: list[str] = []

    async def deliver(self, letter: Letter) -> None:
        """Raise the next outcome, or accept the letter."""
        self.letters.append(letter)
        await asyncio.sleep(self._takes)
        outcome = self._outcomes.pop(0) if self._outcomes else None
        if outcome is not None:
            raise outcome
        self.accepted.append(letter.id)


@pytest.fixture
def databases(tmp_path: Path, migrated: Path) -> Iterator[Callable[[], Database]]:
    """Open the same database, each time as another process would."""
    shutil.copy(migrated, tmp_path / "test.db")
    settings = Settings(secret_key="s" * 32, canary_token="c" * 32, database_url=f"sqlite:///{tmp_path}/test.db")
    opened: list[Database] = []

    def another() -> Database:
        opened.append(Database(settings))
        return opened[-1]

    yield another
    for each in opened:
        each.close()


@pytest.fixture
def database(databases: Callable[[], Database]) -> Database:
    """The database."""
    return databases()


def letter(**fields: object) -> OutboxMessage:
    """A message nobody has written yet."""
    defaults = {"channel": "email", "recipient": "a@example.com", "template": "test", "subject": "S", "body": "B"}
    return OutboxMessage.model_validate(defaults | fields)


async def messages(database: Database) -> list[OutboxMessage]:
    """All there are, the oldest first."""
    return await database.read(lambda session: list(session.exec(select(OutboxMessage).order_by("created_at"))))


async def only(database: Database) -> OutboxMessage:
    """The only message."""
    (message,) = await messages(database)
    return message


async def put(database: Database, outbox: Outbox, *written: OutboxMessage) -> None:
    """Write messages in one transaction."""

    def write(session: Session) -> None:
        for each in written:
            outbox.put(session, each)

    await database.write(write)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def drain(outbox: Outbox) -> None:
    """Send all that is due."""
    while await outbox.send_next():
        pass


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    """Let it send by itself."""
    outbox.start()
    try:
        yield
    finally:
        await outbox.stop()


def test_a_message_leaves_as_soon_as_its_transaction_is_committed(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder()
        outbox = Outbox(database, {"email": channel}, poll=NEVER)
        async with running(outbox):
            await asyncio.sleep(0.1)  # the first look is over
            await put(database, outbox, letter(subject="1"), letter(subject="2"))
            await until(lambda: len(channel.accepted) == 2)
        first = (await messages(database))[0]
        assert (first.state, first.attempts, first.body) == (NotificationState.SENT, 1, "")
        assert first.sent_at is not None

    asyncio.run(scene())


def test_a_message_of_a_transaction_that_fails_is_never_sent(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder()
        outbox = Outbox(database, {"email": channel}, poll=0.02)

        def fail(session: Session) -> None:
            outbox.put(session, letter())
            session.flush()
            raise KeyError

        async with running(outbox):
            with pytest.raises(KeyError):
                await database.write(fail)
            await asyncio.sleep(0.2)
        assert not channel.letters
        assert not await messages(database)

    asyncio.run(scene())


def test_what_another_process_has_written_is_found_by_looking(databases: Callable[[], Database]) -> None:
    async def scene() -> None:
        ours, theirs = databases(), databases()
        channel = Recorder()
        async with running(Outbox(ours, {"email": channel}, poll=0.02)):
            await put(theirs, Outbox(theirs, {"email": Recorder()}), letter())
            await until(lambda: len(channel.accepted) == 1)

    asyncio.run(scene())


def test_for_a_channel_that_is_off_nothing_is_written(database: Database) -> None:
    async def scene() -> None:
        outbox = Outbox(database, {"chat": Recorder()})
        await put(database, outbox, letter())
        assert not outbox.accepts("email")
        assert not await messages(database)

    asyncio.run(scene())


def test_a_message_of_a_channel_turned_off_since_waits_and_harms_nobody(database: Database) -> None:
    async def scene() -> None:
        await put(database, Outbox(database, {"email": Recorder()}), letter())
        chat = Recorder()
        outbox = Outbox(database, {"chat": chat})
        await put(database, outbox, letter(channel="chat"))
        await drain(outbox)
        assert len(chat.accepted) == 1
        states = {message.channel: message.state for message in await messages(database)}
        assert states == {"email": NotificationState.PENDING, "chat": NotificationState.SENT}

    asyncio.run(scene())


def test_what_fails_is_tried_again_later_each_time(database: Database) -> None:
    async def scene() -> None:
        outbox = Outbox(database, {"email": Recorder(*(DeliveryError("no") for _ in BACKOFF))})
        await put(database, outbox, letter())
        for attempt, wait in enumerate(BACKOFF, 1):
            started = now()
            assert await outbox.send_next()
            message = await only(database)
            assert (message.state, message.attempts, message.last_error) == (NotificationState.PENDING, attempt, "no")
            assert wait <= message.due_at - started <= wait * 1.2 + timedelta(seconds=5)
            assert not await outbox.send_next()  # not before that

            def due(session: Session) -> None:
                session.exec(select(OutboxMessage)).one().due_at = now()

            await database.write(due)
        assert await outbox.send_next()
        message = await only(database)
        assert (message.state, message.attempts, message.last_error) == (NotificationState.SENT, len(BACKOFF) + 1, None)

    asyncio.run(scene())


def test_after_the_last_attempt_it_is_a_dead_letter_that_can_be_revived(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder(*(DeliveryError("x" * 1000) for _ in range(3)))
        outbox = Outbox(database, {"email": channel}, backoff=SOON, poll=0.02)
        await put(database, outbox, letter())
        async with running(outbox):
            await until(lambda: len(channel.letters) == 3)
            await asyncio.sleep(0.2)
            message = await only(database)
            assert (message.state, message.attempts, len(channel.letters)) == (NotificationState.DEAD, 3, 3)
            assert message.last_error == "x" * 300
            await database.write(lambda session: outbox.revive(session, session.get_one(OutboxMessage, message.id)))
            await until(lambda: len(channel.accepted) == 1)
        assert channel.letters[-1].body == "B"
        assert (await only(database)).state == NotificationState.SENT

    asyncio.run(scene())


def test_a_permanent_refusal_is_not_tried_again(database: Database) -> None:
    async def scene() -> None:
        outbox = Outbox(database, {"email": Recorder(DeliveryError("550 unknown", permanent=True))})
        await put(database, outbox, letter())
        await drain(outbox)
        message = await only(database)
        assert (message.state, message.attempts, message.last_error) == (NotificationState.DEAD, 1, "550 unknown")

    asyncio.run(scene())


def test_a_mistake_in_a_channel_counts_as_a_failure_and_stops_nothing(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder(ValueError("hunter2"))
        outbox = Outbox(database, {"email": channel})
        await put(database, outbox, letter(due_at=now() - timedelta(hours=1)), letter())
        await drain(outbox)
        broken, fine = await messages(database)
        assert (broken.state, broken.last_error) == (NotificationState.PENDING, "ValueError")
        assert broken.due_at > now()
        assert fine.state == NotificationState.SENT

    asyncio.run(scene())


def test_two_senders_on_one_database_deliver_each_message_once(databases: Callable[[], Database]) -> None:
    async def scene() -> None:
        channels = [Recorder(takes=0.002), Recorder(takes=0.002)]
        senders = [Outbox(databases(), {"email": channel}, poll=0.01) for channel in channels]
        database = databases()
        written = [letter() for _ in range(40)]
        async with running(senders[0]), running(senders[1]):
            for each in written:
                await put(database, senders[0], each)
            await until(lambda: sum(len(channel.accepted) for channel in channels) >= len(written), 30)
            await asyncio.sleep(0.2)
        delivered = [each for channel in channels for each in channel.accepted]
        assert sorted(delivered) == sorted(each.id for each in written)
        assert all(channel.accepted for channel in channels)
        assert {message.state for message in await messages(database)} == {NotificationState.SENT}

    asyncio.run(scene())


def test_when_a_sender_dies_another_one_takes_over_after_the_lease(databases: Callable[[], Database]) -> None:
    async def scene() -> None:
        lease = timedelta(seconds=2)
        victim = Outbox(databases(), {"email": Recorder(takes=60)}, lease=lease)
        database = databases()
        await put(database, victim, letter())
        dying = asyncio.create_task(victim.send_next())
        await asyncio.sleep(0.2)
        dying.cancel()  # in the middle of the delivery
        channel = Recorder()
        heir = Outbox(database, {"email": channel}, lease=lease)
        assert not await heir.send_next()  # still leased
        await asyncio.sleep(lease.total_seconds())
        assert await heir.send_next()
        message = await only(database)
        assert (message.state, message.attempts, channel.accepted) == (NotificationState.SENT, 2, [message.id])

    asyncio.run(scene())


def test_a_message_that_kills_its_senders_dies_itself_in_the_end(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder()
        outbox = Outbox(database, {"email": channel})
        # As senders leave it that were killed in each of its attempts, the lease over.
        await put(database, outbox, letter(attempts=len(BACKOFF) + 1))
        await drain(outbox)
        message = await only(database)
        assert (message.state, channel.letters) == (NotificationState.DEAD, [])
        assert message.last_error

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("outcome", "of_the_heir", "state"),
    [
        (DeliveryError("late", permanent=True), None, NotificationState.SENT),
        (DeliveryError("late", permanent=True), DeliveryError("busy"), NotificationState.PENDING),
        (DeliveryError("late"), DeliveryError("550", permanent=True), NotificationState.DEAD),
        (None, DeliveryError("busy"), NotificationState.SENT),
    ],
    ids=["refused late", "refused late, to be tried again", "failed late", "sent late"],
)
def test_a_sender_that_overran_its_lease_undoes_nothing(
    databases: Callable[[], Database],
    outcome: DeliveryError | None,
    of_the_heir: DeliveryError | None,
    state: NotificationState,
) -> None:
    async def scene() -> None:
        slow = Outbox(databases(), {"email": Recorder(outcome, takes=0.5)}, lease=timedelta(seconds=0.1))
        database = databases()
        await put(database, slow, letter())
        overrunning = asyncio.create_task(slow.send_next())
        await asyncio.sleep(0.25)
        assert await Outbox(database, {"email": Recorder(of_the_heir)}).send_next()
        before = await only(database)
        await overrunning
        after = await only(database)
        assert after.state == state
        if outcome is not None:
            assert after == before

    asyncio.run(scene())


class _Hiccups(Database):
    """Fails to write down the first outcomes."""

    failures = 2
    delivering = False

    async def write(self, work: Callable[[Session], Any]) -> Any:  # noqa: ANN401  # as the base class
        """Fail `failures` times once something was delivered."""
        if self.delivering and self.failures:
            self.failures -= 1
            raise DatabaseUnavailable
        return await super().write(work)


def test_a_database_that_is_busy_for_a_moment_causes_no_second_delivery(tmp_path: Path, migrated: Path) -> None:
    async def scene(database: _Hiccups) -> None:
        class Flagging(Recorder):
            async def deliver(self, letter: Letter) -> None:
                await super().deliver(letter)
                database.delivering = True

        outbox = Outbox(database, {"email": Flagging()})
        await put(database, outbox, letter())
        await outbox.send_next()
        assert (database.failures, (await only(database)).state) == (0, NotificationState.SENT)

    shutil.copy(migrated, tmp_path / "test.db")
    database = _Hiccups(
        Settings(secret_key="s" * 32, canary_token="c" * 32, database_url=f"sqlite:///{tmp_path}/test.db")
    )
    try:
        asyncio.run(scene(database))
    finally:
        database.close()


def test_the_end_of_the_application_lets_a_delivery_finish(database: Database) -> None:
    async def scene() -> None:
        channel = Recorder(takes=0.4)
        outbox = Outbox(database, {"email": channel}, poll=NEVER)
        async with running(outbox):
            await put(database, outbox, letter(), letter())
            await until(lambda: len(channel.letters) == 1)
        assert len(channel.accepted) == 1
        assert sorted(message.state for message in await messages(database)) == [
            NotificationState.PENDING,
            NotificationState.SENT,
        ]

    asyncio.run(scene())


def test_the_end_of_the_application_waits_for_no_channel_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "GRACE", 0.2)

    async def scene() -> None:
        channel = Recorder(takes=60)
        outbox = Outbox(database, {"email": channel})
        outbox.start()
        await put(database, outbox, letter())
        await until(lambda: len(channel.letters) == 1)
        started = time.monotonic()
        await outbox.stop()
        assert time.monotonic() - started < 1

    asyncio.run(scene())


def test_an_account_that_is_erased_leaves_no_message(database: Database) -> None:
    async def scene() -> None:
        outbox = Outbox(database, {"email": Recorder()})
        await put(database, outbox, letter(account_id="erased"), letter(account_id="other"))
        await database.write(lambda session: kit.forget(session, "erased"))
        assert (await only(database)).account_id == "other"

    asyncio.run(scene())


def test_what_is_done_with_goes_after_a_while_and_nothing_else(database: Database) -> None:
    async def scene() -> None:
        outbox = Outbox(database, {"email": Recorder()})
        await put(
            database,
            outbox,
            *(
                letter(state=state, created_at=now() - age, subject=f"{state} {name}")
                for state in NotificationState
                for name, age in (("old", kit.KEPT + timedelta(minutes=1)), ("young", kit.KEPT - timedelta(minutes=1)))
            ),
        )
        assert await database.write(kit.prune) == 2
        assert await database.write(kit.prune) == 0
        left = {message.subject for message in await messages(database)}
        assert left == {"pending old", "pending young", "sent young", "dead young"}

    asyncio.run(scene())

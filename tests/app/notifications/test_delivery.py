"""Delivery of notifications by e-mail, with a real database, mail server and API."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pysqlite3 import dbapi2

from app.kit.database import Database
from app.kit.mail import SmtpChannel
from app.kit.outbox import Outbox
from app.notifications.service import Notifications, Recipient, Template
from app.settings import Settings
from tests.app.conftest import Serve, free_port, new_user
from tests.app.mailserver import mail_server, silent_server

FACTS = {"reference": "AB12CD", "service": "Spring cleaning", "when": "2026-12-01 10:00"}
ANNA = Recipient("0b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10", "anna@example.com", "Anna", "en")
BORIS = Recipient("1b9f7c1e-6d1f-4f0c-9a57-2f6d3c1f2a10", "boris@example.com", "Борис", "ru")
SOON = (timedelta(milliseconds=50),) * 100
Condition = Callable[[], bool]


def rows(file: Path) -> list[tuple[str, int, str | None]]:
    """State, attempts and last error of every message."""
    connection = dbapi2.connect(file, timeout=20)
    try:
        return list(connection.execute("SELECT state, attempts, last_error FROM outbox_message ORDER BY created_at"))
    finally:
        connection.close()


async def wait_until(condition: Condition, seconds: float = 10.0) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.fixture
def file(tmp_path: Path, migrated: Path) -> Path:
    """A database with the newest schema."""
    return Path(shutil.copy(migrated, tmp_path / "test.db"))


class NotificationSystem:
    """The notifications, the outbox and the mail channel, connected as in the application but with short delays."""

    def __init__(self, file: Path, port: int | None) -> None:
        mail = {"smtp_host": "127.0.0.1", "smtp_port": port, "smtp_security": "none"} if port else {}
        values = {"secret_key": "s" * 32, "canary_token": "c" * 32, "mail_from": "bookings@example.org"}
        settings = Settings.model_validate({**values, **mail, "database_url": f"sqlite:///{file}"})
        self.database = Database(settings)
        self.channel = SmtpChannel(settings, timeout=2) if port else None
        self.outbox = Outbox(self.database, {"email": self.channel} if self.channel else {}, backoff=SOON, poll=0.05)
        self.notifications = Notifications(self.outbox, "https://example.org")

    async def notify_confirmed(self, *people: Recipient) -> None:
        """Notify each recipient that a booking is confirmed."""
        for each in people:
            await self.database.write(
                lambda session, each=each: self.notifications.notify(  # type: ignore[misc]
                    session, Template.BOOKING_CONFIRMED, each, **FACTS
                )
            )

    def close(self) -> None:
        """Close the connections."""
        if self.channel:
            self.channel.close()
        self.database.close()


OpenSystem = Callable[[int | None], NotificationSystem]


@pytest.fixture
def open_system(file: Path) -> Iterator[OpenSystem]:
    """Open a notification system on the test's database, with the mail server on the given port, or without one."""
    opened: list[NotificationSystem] = []

    def open_another(port: int | None) -> NotificationSystem:
        opened.append(NotificationSystem(file, port))
        return opened[-1]

    yield open_another
    for each in opened:
        each.close()


def test_each_recipient_gets_one_message_in_their_language(open_system: OpenSystem, file: Path) -> None:
    async def scenario(port: int) -> None:
        system = open_system(port)
        system.outbox.start()
        await system.notify_confirmed(ANNA, BORIS)
        await wait_until(lambda: [row[0] for row in rows(file)] == ["sent", "sent"])
        await asyncio.sleep(0.3)
        await system.outbox.stop()

    with mail_server() as mailbox:
        asyncio.run(scenario(mailbox.port))
    by_address = {message["To"]: message for message in mailbox.messages}
    assert len(mailbox.messages) == 2
    assert by_address[ANNA.email]["Subject"] == "Your booking AB12CD is confirmed"
    assert "Hello Anna," in by_address[ANNA.email].get_content()
    assert by_address[BORIS.email]["Subject"] == "Ваш заказ AB12CD подтверждён"
    assert "Здравствуйте, Борис!" in by_address[BORIS.email].get_content()


def test_messages_are_delivered_after_a_mail_server_outage(open_system: OpenSystem, file: Path) -> None:
    port = free_port()

    async def scenario() -> None:
        system = open_system(port)
        system.outbox.start()
        await system.notify_confirmed(ANNA)
        await wait_until(lambda: rows(file)[0][1] > 1)
        with mail_server(port=port) as mailbox:
            await wait_until(lambda: rows(file)[0][0] == "sent")
            await system.outbox.stop()
        assert mailbox.recipients == [[ANNA.email]]

    asyncio.run(scenario())


def test_unknown_address_is_not_retried(open_system: OpenSystem, file: Path) -> None:
    async def scenario(port: int) -> None:
        system = open_system(port)
        system.outbox.start()
        await system.notify_confirmed(ANNA, BORIS)
        await wait_until(lambda: [row[0] for row in rows(file)] == ["dead", "sent"])
        await system.outbox.stop()

    with mail_server(refuse=lambda address: "550 No such user" if address == ANNA.email else None) as mailbox:
        asyncio.run(scenario(mailbox.port))
    assert rows(file)[0] == ("dead", 1, "recipient refused: 550 No such user")
    assert mailbox.recipients == [[BORIS.email]]


def test_two_replicas_send_each_message_once(open_system: OpenSystem, file: Path) -> None:
    async def scenario(port: int) -> None:
        replicas = [open_system(port), open_system(port)]
        for each in replicas:
            each.outbox.start()
        await asyncio.gather(*(each.notify_confirmed(*[ANNA] * 10) for each in replicas))
        await wait_until(lambda: [row[0] for row in rows(file)] == ["sent"] * 20, 30)
        await asyncio.sleep(0.3)
        for each in replicas:
            await each.outbox.stop()

    with mail_server() as mailbox:
        asyncio.run(scenario(mailbox.port))
    assert len(mailbox.messages) == 20
    assert len({message["Message-ID"] for message in mailbox.messages}) == 20


def test_nothing_is_written_without_a_mail_server(open_system: OpenSystem, file: Path) -> None:
    system = open_system(None)
    asyncio.run(system.notify_confirmed(ANNA))
    assert not system.notifications.can_mail
    assert rows(file) == []


def test_hanging_mail_server_does_not_slow_the_api(serve: Serve, file: Path) -> None:
    del file  # `serve` brings its own
    with silent_server() as port:
        server = serve(
            SMTP_HOST="127.0.0.1", SMTP_PORT=str(port), SMTP_SECURITY="none", MAIL_FROM="bookings@example.org"
        )
        connection = dbapi2.connect(server.database, timeout=20)
        with connection:
            connection.executemany(
                "INSERT INTO outbox_message (id, channel, recipient, template, subject, body, state, attempts, due_at,"
                " created_at) VALUES (?, 'email', 'anna@example.com', 'test', 'S', 'B', 'pending', 0,"
                " '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
                [(f"message-{number}",) for number in range(5)],
            )
        connection.close()
        deadline = time.monotonic() + 15
        while not any(attempts for _, attempts, _ in rows(server.database)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        with httpx.Client(base_url=server.url, timeout=10, trust_env=False) as http:
            for _ in range(5):  # while the sender waits for the mail server
                started = time.monotonic()
                assert http.post("/api/v1/auth/register", json=new_user()).is_success
                assert http.get("/health/ready").status_code == 200
                assert time.monotonic() - started < 3
        assert [row[0] for row in rows(server.database)].count("sent") == 0
        started = time.monotonic()
        server.process.terminate()
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 12

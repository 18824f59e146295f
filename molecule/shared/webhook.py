"""A receiver of the monitor's alerts: a real HTTP server on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from converged import DIRECTORY
from testinfra.host import Host

FIELDS = {
    "id", "kind", "incident", "component", "severity", "at", "host", "subject", "text",
    "cause", "began", "ended", "steps", "evidence",
}  # fmt: skip
"""What a message of the format `json` has, exactly."""


@dataclass(frozen=True)
class Message:
    """What was received, and when (time.monotonic())."""

    received: float
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        """`problem`, `person-needed`, `reminder`, `resolved` or `test`."""
        return str(self.body.get("kind"))

    @property
    def incident(self) -> str:
        """The id of the incident it is about."""
        return str(self.body.get("incident"))


class Receiver:
    """Takes in alerts from its making to `close`.

    Args:
        address: of this machine, as the test host sees it.
        port: the one that the inventory names.
    """

    def __init__(self, address: str, port: int) -> None:
        self.messages: list[Message] = []
        received = self.messages

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                received.append(Message(time.monotonic(), json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name there
                pass

        self._listen: Callable[[], ThreadingHTTPServer] = lambda: ThreadingHTTPServer((address, port), Handler)
        self._server = self._open()

    @classmethod
    def told_by(cls, host: Host) -> Receiver:
        """One that listens where the host's inventory says that alerts are to go."""
        settings = json.loads(host.check_output(f"cat {DIRECTORY}/monitor.json"))
        url = urlsplit(settings["alerts"]["webhooks"][0]["url"])
        return cls(str(url.hostname), url.port or 80)

    def _open(self) -> ThreadingHTTPServer:
        server = self._listen()
        threading.Thread(target=server.serve_forever, name="receiver", daemon=True).start()
        return server

    def close(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Refuse every connection for a while."""
        self.close()
        yield
        self._server = self._open()

    def of(self, incident: str) -> list[Message]:
        """The messages about one incident, in the order in which they came."""
        return [message for message in list(self.messages) if message.incident == incident]

    def wait_for(self, incident: str, kind: str, seconds: float) -> Message | None:
        """Wait for a message; None when it does not come in time."""
        return self._wait(lambda: next((each for each in self.of(incident) if each.kind == kind), None), seconds)

    @staticmethod
    def _wait(look: Callable[[], Message | None], seconds: float) -> Message | None:
        deadline = time.monotonic() + seconds
        while (found := look()) is None and time.monotonic() < deadline:
            time.sleep(0.2)
        return found


@pytest.fixture(scope="session")
def receiver(host: Host) -> Iterator[Receiver]:
    """Listens where the host's inventory says that alerts are to go."""
    receiver = Receiver.told_by(host)
    yield receiver
    receiver.close()

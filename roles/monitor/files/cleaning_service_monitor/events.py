"""Docker's events, so that a fault is looked at when it happens and not at the next look.

The stream is for speed and for what a look cannot see (how a container ended that runs again already). The
looks are the truth: a lost or late event costs seconds, never a cure.
"""

import contextlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cleaning_service_monitor.transport import DeadlineSocket, NoAnswerError, UnixTarget, head, telling_why

_CONNECT_TIMEOUT = 5.0  # seconds
_RECONNECT = 2.0  # seconds between attempts while Docker is away
_MAX_LINE = 1024 * 1024  # bytes
_WANTED = ("die", "oom", "health_status", "start", "destroy", "pause")
_ON_DEMAND = frozenset({"0", "143"})  # exit codes of a container that ended when it was asked to


@dataclass(frozen=True)
class Death:
    """A container ended though nobody asked it to.

    Attributes:
        component: whose container.
        at: when, in seconds since the epoch.
        cause: how, for a person.
    """

    component: str
    at: float
    cause: str


class Events:
    """Listens in a thread of its own, for ever.

    Args:
        socket_path: Docker's socket.
        components: component by name of its container.
    """

    def __init__(self, socket_path: str, components: Mapping[str, str]) -> None:
        self._target = UnixTarget(socket_path)
        self._components = components
        self._woken = threading.Event()
        self._deaths: deque[Death] = deque()  # between two threads
        self._out_of_memory: set[str] = set()  # containers with an oom event since they last died
        self._since = time.time()

    def begin(self) -> None:
        """Start listening."""
        threading.Thread(target=self._listen, name="events", daemon=True).start()

    def wait(self, seconds: float) -> None:
        """Wait for the next event, at most so long."""
        if self._woken.wait(max(0.0, seconds)):
            self._woken.clear()

    def deaths(self) -> list[Death]:
        """Return the deaths since the last call."""
        return [self._deaths.popleft() for _ in range(len(self._deaths))]

    def _listen(self) -> None:
        while True:
            with contextlib.suppress(OSError, NoAnswerError):  # Docker is away, which the looks find out
                self._follow()
            self._woken.set()  # whatever happened meanwhile is looked for
            time.sleep(_RECONNECT)

    def _follow(self) -> None:
        filters = quote(json.dumps({"type": ["container"], "event": list(_WANTED)}))
        path = f"/events?since={self._since:.9f}&filters={filters}"
        with telling_why(_CONNECT_TIMEOUT), DeadlineSocket(self._target, _CONNECT_TIMEOUT) as connection:
            connection.sendall(head(self._target, "GET", path))
            # From here on silence means that nothing happens.
            connection.settimeout(None)
            pending = b""
            while chunk := socket.socket.recv(connection, 65536):
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(pending) > _MAX_LINE:
                    return

    def _take(self, line: bytes) -> None:
        """Take in one line; the head of the answer is none of interest."""
        try:
            event = json.loads(line)
            action, moment = str(event["Action"]), float(event["timeNano"]) / 1e9
            attributes = event["Actor"]["Attributes"]
            container, code = str(attributes["name"]), str(attributes.get("exitCode", ""))
        except (ValueError, KeyError, TypeError):
            return
        self._since = max(self._since, moment + 1e-9)
        component = self._components.get(container)
        if component is None:
            return
        if action == "oom":
            self._out_of_memory.add(container)
        elif action == "die":
            memory = container in self._out_of_memory
            self._out_of_memory.discard(container)
            if memory or code not in _ON_DEMAND:
                why = " (out of memory)" if memory else " (killed)" if code == "137" else ""
                self._deaths.append(Death(component, moment, f"the container ended with exit code {code}{why}"))
        self._woken.set()

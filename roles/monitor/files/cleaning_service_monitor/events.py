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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from cleaning_service_monitor.transport import DeadlineSocket, NoAnswerError, UnixTarget, head, telling_why

_CONNECT_TIMEOUT = 5.0  # seconds
_RECONNECT = 2.0  # seconds between attempts while Docker is away
_MAX_LINE = 1024 * 1024  # bytes
_WANTED = ("die", "oom", "health_status", "start", "destroy", "pause", "kill")
_ON_DEMAND = frozenset({"0", "143"})  # exit codes of a container that ended when it was asked to
_SIGTERM = "15"  # what `stop`, `restart`, `down` and `up` begin with; `docker kill` sends 9
# Seconds that a command may take from there to the container's end (the longest stop_grace_period is 25 s), from that
# to its removal or start, and from its removal to the start of its successor, as after `down` comes `up`.
_ENDING, _ENDED, _REMOVED = 30.0, 10.0, 30.0


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


@dataclass
class _Command:
    """A command that stops a container, or stops it and starts it or another one in its place.

    Attributes:
        begun: when, in seconds since the epoch.
        until: when it is no longer waited for, on the monotonic clock.
        ended: whether the container has ended.
        started: when the container or its successor was started, on the monotonic clock; None before that.
    """

    begun: float
    until: float
    ended: bool = False
    started: float | None = None


class Events:
    """Listens in a thread of its own, for ever.

    Args:
        socket_path: Docker's socket.
        components: component by name of its container.
        start_grace: seconds a component may take to start.
    """

    def __init__(self, socket_path: str, components: Mapping[str, str], start_grace: float) -> None:
        self._target = UnixTarget(socket_path)
        self._components = components
        self._start_grace = start_grace
        self._commands: dict[str, _Command] = {}  # by component; between two threads
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

    def commanded(self, since: float) -> set[str]:
        """Return the components which a command that began after `since` (epoch seconds) is stopping or restarting."""
        now = time.monotonic()
        return {name for name, its in list(self._commands.items()) if its.begun > since and now < its.until}

    def found_well(self, components: Iterable[str], looked: float) -> None:
        """End the commands whose components, started before the look began (monotonic clock), it found well."""
        for name in components:
            command = self._commands.get(name)
            if command and command.started is not None and command.started < looked:
                self._commands.pop(name, None)

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
        commanded = self._follow_command(component, action, str(attributes.get("signal", "")), moment)
        if action == "oom":
            self._out_of_memory.add(container)
        elif action == "die":
            memory = container in self._out_of_memory
            self._out_of_memory.discard(container)
            if memory or not (commanded or code in _ON_DEMAND):
                why = " (out of memory)" if memory else " (killed)" if code == "137" else ""
                self._deaths.append(Death(component, moment, f"the container ended with exit code {code}{why}"))
        self._woken.set()

    def _follow_command(self, component: str, action: str, signal: str, moment: float) -> bool:
        """Take in how far a command has come; returns whether this event is its doing."""
        now = time.monotonic()
        if action == "kill" and signal == _SIGTERM:
            self._commands[component] = _Command(moment, now + _ENDING)
            return True
        command = self._commands.get(component)
        if command is None:
            return False
        if now >= command.until or (action == "die" and command.ended):
            self._commands.pop(component, None)  # too late, or what was started has ended: a fault of its own
            return False
        if action == "die":
            command.ended, command.until = True, now + _ENDED
        elif action == "destroy" and command.started is None:
            command.until = now + _REMOVED
        elif action == "start":
            command.started, command.until = now, now + self._start_grace
        return True

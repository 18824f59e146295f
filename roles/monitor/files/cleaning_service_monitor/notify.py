"""Messages to systemd: ready, alive, what is going on."""

import os
import socket


class Notifier:
    """Sends datagrams to the socket that systemd names in the environment; silent where there is none."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def send(self, *assignments: str) -> None:
        """Send assignments such as `READY=1`; see sd_notify(3). Never blocks and never fails."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(0)
            try:
                client.sendto("\n".join(assignments).encode(), self._address)
            except OSError:
                return  # systemd misses the watchdog's message and acts on that; nobody else is to be told

    def ready(self) -> None:
        """The start is complete."""
        self.send("READY=1", "STATUS=First check")

    def alive(self) -> None:
        """The main loop, or the cure in progress, has made a step."""
        self.send("WATCHDOG=1")

    def status(self, sentence: str) -> None:
        """Set the line that `systemctl status` shows."""
        self.send(f"STATUS={sentence}")

    def stopping(self) -> None:
        """The end has begun."""
        self.send("STOPPING=1")

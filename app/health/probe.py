"""The container's own health check: asks /health/ready of the API in the same container.

Docker starts it every few seconds, as a script and without the packages (`python -I -S`). `_socket` is the part of
`socket` that is needed here, at a third of the processor time.
"""

import _socket
import os
import sys

TIMEOUT = 2.5  # seconds for connecting, and for each read
REQUEST = b"GET /health/ready HTTP/1.0\r\n\r\n"
READY = b" 200 "
"""After the protocol, whose eight letters come first."""


def main() -> int:
    """Return 0 when the API says it is ready, 1 for any other answer or none."""
    path = os.environ.get("SOCKET_FILE")
    connection = _socket.socket(_socket.AF_UNIX if path else _socket.AF_INET, _socket.SOCK_STREAM)
    answer = b""
    try:
        connection.settimeout(TIMEOUT)
        connection.connect(path or ("127.0.0.1", int(os.environ.get("PORT") or 8000)))
        connection.sendall(REQUEST)
        while len(answer) < len(b"HTTP/1.1") + len(READY) and (received := connection.recv(64)):
            answer += received
    except (OSError, ValueError, OverflowError):
        return 1
    finally:
        connection.close()
    return 0 if answer.startswith(b"HTTP/1.") and answer[8:].startswith(READY) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Health check of the container: requests /health/ready from the API in the same container.

Docker runs this script every few seconds, without site packages (`python -I -S`). It imports `_socket`, because
`socket` takes three times the processor time.
"""

import _socket
import os
import sys

TIMEOUT = 2.5  # seconds for connecting, and for each read
REQUEST = b"GET /health/ready HTTP/1.0\r\n\r\n"
READY_STATUS = b" 200 "
"""The status code, after the eight characters of the protocol."""


def main() -> int:
    """Return 0 if the API is ready, 1 after any other answer or none."""
    path = os.environ.get("SOCKET_FILE")
    connection = _socket.socket(_socket.AF_UNIX if path else _socket.AF_INET, _socket.SOCK_STREAM)
    answer = b""
    try:
        connection.settimeout(TIMEOUT)
        connection.connect(path or ("127.0.0.1", int(os.environ.get("PORT") or 8000)))
        connection.sendall(REQUEST)
        while len(answer) < len(b"HTTP/1.1") + len(READY_STATUS) and (received := connection.recv(64)):
            answer += received
    except (OSError, ValueError, OverflowError):
        return 1
    finally:
        connection.close()
    return 0 if answer.startswith(b"HTTP/1.") and answer[8:].startswith(READY_STATUS) else 1


if __name__ == "__main__":
    sys.exit(main())

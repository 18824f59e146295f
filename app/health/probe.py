"""The container's own health check: asks /health/ready of the API in the same container.

Standard library only and nothing of the API is imported, because Docker starts it every few seconds.
"""

import http.client
import os

TIMEOUT = 2.5  # seconds; Docker gives up at 3


def main() -> int:
    """Return 0 when the API says it is ready, 1 for any other answer or none."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=TIMEOUT)
        connection.request("GET", "/health/ready")
        return 0 if connection.getresponse().status == http.client.OK else 1
    except (OSError, ValueError, http.client.HTTPException):
        return 1

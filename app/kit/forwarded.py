"""The client's address, as the proxy tells it."""

import hmac
import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = b"x-proxy-token"
ADDRESS = b"x-forwarded-for"
SCHEME = b"x-forwarded-proto"
SCHEMES = frozenset({b"http", b"https"})


class ForwardedClient:
    """Replaces a request's client and scheme by those that the proxy forwards.

    The proxy proves itself by a shared token, not by its address: on a Docker host the engine itself, and any local
    process behind it, reaches the API from an address of the same network. What others forward is ignored.
    """

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        """Wrap an application.

        Args:
            app: what is wrapped.
            token: PROXY_TOKEN; sent by the proxy as `X-Proxy-Token`.
        """
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http":
            self._apply(scope)
        await self._app(scope, receive, send)

    def _apply(self, scope: Scope) -> None:
        headers = dict(scope["headers"])  # the last one of each name: the proxy's own
        offered = headers.get(TOKEN)
        if offered is None:
            return
        scope["headers"] = [each for each in scope["headers"] if each[0] != TOKEN]
        if not hmac.compare_digest(offered, self._token):
            return
        if address := _address(headers.get(ADDRESS, b"")):
            scope["client"] = (address, 0)
        if (scheme := headers.get(SCHEME, b"")) in SCHEMES:
            scope["scheme"] = scheme.decode()


def _address(forwarded: bytes) -> str | None:
    """The last address of a list; None where it is none."""
    last = forwarded.decode("latin-1").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(last))
    except ValueError:
        return None

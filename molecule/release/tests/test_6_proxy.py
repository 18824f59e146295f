"""Another proxy: the one container that cannot be replaced beside itself."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import httpx
from checkout import ONE_REPLICA, Checkout
from converged import PROXY, address, inspect
from testinfra.host import Host

LONGEST = 1.0  # seconds for which connections may be refused
EVERY = 0.02  # seconds


class Knocker:
    """Opens a connection every 20 ms, whether or not the ones before have been answered; none is repeated."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.knocks: list[tuple[float, float, bool]] = []
        """When each began and ended, and whether it was answered."""
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(200)
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()

    def _go_on(self) -> None:
        while not self._ended.wait(EVERY):
            self._pool.submit(self._knock)

    def _knock(self) -> None:
        began = time.monotonic()
        try:
            with socket.create_connection((self._address, 80), timeout=10) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
                answered = connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            answered = False
        self.knocks.append((began, time.monotonic(), answered))

    def close(self) -> None:
        """End, once all are answered."""
        self._ended.set()
        self._thread.join()
        self._pool.shutdown()

    def longest_refusal(self) -> float:
        """Seconds from the first to the last of those in a row that were not answered."""
        spans = [0.0]
        for answered, group in groupby(sorted(self.knocks), key=lambda knock: knock[2]):
            if not answered:
                begun = [knock[0] for knock in group]
                spans.append(begun[-1] - begun[0] + EVERY)
        return max(spans)


def test_nobody_is_refused_for_more_than_a_second(host: Host, checkout: Callable[[str], Checkout]) -> None:
    another = checkout("proxy")
    another.change_proxy()
    before = inspect(host, PROXY)["Image"]
    with httpx.Client(base_url=f"http://{address()}", trust_env=False) as client:
        client.get("/health").raise_for_status()  # a connection that stays open must not hold up the old proxy
        knocker = Knocker(address())
        code, said = another.play("playbooks/deploy.yml", "--extra-vars", ONE_REPLICA)
        knocker.close()
    assert code == 0, said
    assert inspect(host, PROXY)["Image"] != before
    refused = sum(not answered for _, _, answered in knocker.knocks)
    longest = max(ended - began for began, ended, answered in knocker.knocks if answered)
    print(
        f"\na new proxy: {refused} of {len(knocker.knocks)} connections refused, within"
        f" {knocker.longest_refusal():.2f} s; the longest answer took {longest:.2f} s"
    )
    assert refused < len(knocker.knocks) / 2
    assert knocker.longest_refusal() <= LONGEST

"""Clients that misbehave do nothing to the others."""

import pytest
from converged import address, seed
from testinfra.host import Host

from bench import rude_clients
from bench.clients import WellBehaved, beside
from bench.rude_clients import Target

SECONDS = 4.0
"""For each kind; `make bench-clients` takes longer and compares the time of answers."""


@pytest.fixture(scope="module")
def target() -> Target:
    """The host's proxy, as the world reaches it."""
    return Target(address(), 80)


@pytest.fixture(scope="module")
def good(host: Host, target: Target) -> WellBehaved:
    """Clients that behave, at work before the others come."""
    seed(host)
    good = WellBehaved(target)
    good.work(2)
    return good


@pytest.mark.parametrize("kind", sorted(rude_clients.PLAIN))
def test_nobody_else_notices(target: Target, good: WellBehaved, kind: str) -> None:
    row = beside(kind, target, good, SECONDS)
    print(f"\n{kind}: {dict(row.outcomes)}; others: {len(row.measured.seconds)} requests, p99 {row.measured.p99:.2f} s")
    assert row.outcomes, "the clients that misbehave have done nothing"
    assert not row.measured.failures

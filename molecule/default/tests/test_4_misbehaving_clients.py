"""Clients that misbehave do nothing to the others."""

import pytest
from converged import address

from bench import rude_clients
from bench.clients import WellBehaved, beside
from bench.rude_clients import Target

SECONDS = 4.0
"""For each kind; `make bench-clients` takes longer and compares the time of answers."""


@pytest.mark.usefixtures("company")
@pytest.mark.parametrize("kind", sorted(rude_clients.PLAIN))
def test_nobody_else_notices(kind: str) -> None:
    target = Target(address(), 80)
    row = beside(kind, target, WellBehaved(target), SECONDS)
    print(f"\n{kind}: {dict(row.outcomes)}; others: {len(row.measured.seconds)} requests, p99 {row.measured.p99:.2f} s")
    assert row.outcomes, "the clients that misbehave have done nothing"
    assert not row.measured.failures

"""Nobody fills the queue for the others."""

import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.fairqueue import FairQueue
from app.kit.problems import Overloaded
from app.kit.workers import WorkerPool

OWNERS = st.sampled_from("abcd")


@given(st.lists(OWNERS, max_size=40))
def test_owners_take_turns_and_their_items_keep_their_order(owners: list[str]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number, owner in enumerate(owners):
        queue.put(owner, (owner, number))
    assert len(queue) == len(owners)
    taken = [queue.take() for _ in owners]
    assert sorted(taken, key=lambda item: item[1]) == [(owner, number) for number, owner in enumerate(owners)]
    for owner in set(owners):
        numbers = [number for each, number in taken if each == owner]
        assert numbers == sorted(numbers)
        # The n-th item of an owner comes out before anybody's (n + 2)-th.
        for nth, place in enumerate(index for index, (each, _) in enumerate(taken) if each == owner):
            before = [each for each, _ in taken[:place]]
            assert all(before.count(other) <= nth + 1 for other in set(owners))
    with pytest.raises(LookupError):
        queue.take()


@given(st.lists(OWNERS, max_size=40), OWNERS)
def test_room_is_made_by_the_owner_with_the_most(owners: list[str], newcomer: str) -> None:
    queue: FairQueue[str] = FairQueue()
    for owner in owners:
        queue.put(owner, owner)
    most, own = max(map(owners.count, owners), default=0), owners.count(newcomer)
    displaced = queue.displace(newcomer)
    if most >= own + 2:
        assert displaced is not None
        assert owners.count(displaced) == most
        assert len(queue) == len(owners) - 1
    else:
        assert displaced is None
        assert len(queue) == len(owners)


def test_a_newcomer_gets_in_where_one_owner_has_taken_all_places() -> None:
    gate, pool = threading.Event(), WorkerPool("test", threads=1, queue=3)

    async def scene() -> list[object]:
        greedy = [asyncio.create_task(pool.run(lambda: gate.wait(5), timeout=5, owner="a")) for _ in range(4)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await pool.run(lambda: None, timeout=5, owner="a")
        other = asyncio.create_task(pool.run(lambda: "other", timeout=5, owner="b"))
        await asyncio.sleep(0.05)
        gate.set()
        assert await other == "other"
        return [*await asyncio.gather(*greedy, return_exceptions=True)]

    try:
        *done, last = asyncio.run(scene())
    finally:
        gate.set()
        pool.close()
    assert done == [True, True, True]
    assert isinstance(last, Overloaded)

"""A queue that nobody can fill for the others."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of several owners: owners take turns, and each owner's items come out in the order they went in."""

    def __init__(self) -> None:
        self._by_owner: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, owner: str, item: T) -> None:
        """Add an item behind the others of its owner."""
        self._by_owner.setdefault(owner, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """Remove and return the first item of the owner whose turn it is.

        Raises:
            LookupError: the queue is empty.
        """
        owner, items = next(iter(self._by_owner.items()), (None, None))
        if owner is None or items is None:
            raise LookupError
        item = items.popleft()
        if items:
            self._by_owner.move_to_end(owner)
        else:
            del self._by_owner[owner]
        self._length -= 1
        return item

    def displace(self, owner: str) -> T | None:
        """Make room for an item of this owner, at the cost of the owner with the most items.

        Returns:
            The newest item of that owner, which is removed; None where this owner would then have as many items.
        """
        longest = max(self._by_owner, key=lambda each: len(self._by_owner[each]), default=None)
        if longest is None or len(self._by_owner[longest]) < len(self._by_owner.get(owner, ())) + 2:
            return None
        self._length -= 1
        return self._by_owner[longest].pop()

    def clear(self) -> list[T]:
        """Remove and return all items."""
        items = [item for each in self._by_owner.values() for item in each]
        self._by_owner.clear()
        self._length = 0
        return items

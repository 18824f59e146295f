"""Password hashing with argon2id, one computation per core and a bounded queue before it."""

import asyncio
import warnings
from collections.abc import Callable
from typing import TypeVar

from app.kit import memory
from app.kit.addresses import CLIENT, subscriber
from app.kit.passwords import MAXIMUM_LENGTH, normalised
from app.kit.problems import Overloaded
from app.kit.workers import WorkerPool
from app.settings import HASH_MEMORY_BYTES, Settings

with warnings.catch_warnings():
    # passlib 1.7.4 looks for the standard library's crypt, and for argon2's version, the way one did in 2020.
    warnings.simplefilter("ignore", DeprecationWarning)
    from passlib.context import CryptContext
    from passlib.hash import argon2

    argon2.set_backend("argon2_cffi")

T = TypeVar("T")

NICENESS = 10
IDLE = 1.0  # seconds without a password after which the memory of the last hashes is given back

# OWASP Password Storage Cheat Sheet: argon2id with 19 MiB of memory, 2 iterations, 1 degree of parallelism.
CONTEXT = CryptContext(
    schemes=["argon2"],
    argon2__type="ID",
    argon2__memory_cost=HASH_MEMORY_BYTES // 1024,  # KiB
    argon2__time_cost=2,
    argon2__parallelism=1,
)


class PasswordHasher:
    """Hashes and verifies passwords in threads that yield the processor to the event loop."""

    def __init__(self, settings: Settings) -> None:
        # Half of the time of a request: the other half is for the database.
        self._timeout = settings.request_timeout / 2
        self.pool = WorkerPool("hash", threads=settings.hash_threads, queue=settings.hash_queue, nice=NICENESS)
        CONTEXT.dummy_verify()  # the first one also computes the hash that all later ones are compared to
        memory.give_back()
        self._giving_back: asyncio.TimerHandle | None = None

    async def hash(self, password: str) -> str:
        """Hash a new password, in its normalised form.

        Raises:
            Overloaded: too many are waiting.
        """
        return str(await self._run(lambda: CONTEXT.hash(normalised(password))))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Compare a password with a hash; without one (unknown user) take as long and return False.

        Raises:
            Overloaded: too many are waiting.
        """
        matches, _ = await self.verify_and_update(password, hashed)
        return matches

    async def verify_and_update(self, password: str, hashed: str | None) -> tuple[bool, str | None]:
        """Like `verify`; also returns a new hash to store when the old one should not stay.

        It was made with weaker parameters, or of a password that was not normalised.

        Raises:
            Overloaded: too many are waiting.
        """
        return await self._run(lambda: _verify_and_update(password, hashed))

    async def _run(self, work: Callable[[], T]) -> T:
        """Let client addresses take turns: one that sends all it can does not make the others wait."""
        try:
            return await self.pool.run(work, timeout=self._timeout, owner=subscriber(CLIENT.get()))
        except TimeoutError as error:
            raise Overloaded from error
        finally:
            if self._giving_back:
                self._giving_back.cancel()
            self._giving_back = asyncio.get_running_loop().call_later(IDLE, memory.give_back)

    def close(self) -> None:
        """Take no more passwords."""
        if self._giving_back:
            self._giving_back.cancel()
        self.pool.close()


def _verify_and_update(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """In the thread; what is no hash at all (an erased account's) takes as long as one that does not match."""
    normal = normalised(password)
    forms = [form for form in dict.fromkeys((normal, password)) if len(form) <= MAXIMUM_LENGTH]
    known = hashed is not None and CONTEXT.identify(hashed)
    for form in forms:
        if not known:
            CONTEXT.dummy_verify()
            continue
        matches, better = CONTEXT.verify_and_update(form, hashed)
        if matches and form != normal and normal in forms:
            # Stored before passwords were normalised.
            better = CONTEXT.hash(normal)
        if matches:
            return True, better
    return False, None

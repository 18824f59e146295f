"""Whether registering costs little beside the hash of the password, and what a storm of it does to everybody else.

`python -m bench.registrations`: rounds in turn of argon2id alone and of registrations through the API, on the same
cores; then a storm at twice the rate that argon2id alone reaches, while others read. Ends with an error when a
target is missed.
"""

import asyncio
import os
import statistics
import sys
import threading
import time
import uuid

from app.kit.hashing import CONTEXT
from app.seed import PASSWORD
from bench.houses import company, log_in
from bench.load import Result, closed_loop, open_loop, percentile, request, run
from bench.report import Verdict

ROUNDS = 5
SECONDS = 4.0  # of each round
CONNECTIONS = 16
STORM = 15.0  # seconds
READS = 50.0  # a second, of each kind
CREATED = 201
SHED = 503


def argon2id(seconds: float) -> float:
    """Hashes in a second with a thread on each core."""
    end = time.perf_counter() + seconds
    counts: list[int] = []

    def work() -> None:
        count = 0
        while time.perf_counter() < end:
            CONTEXT.hash(PASSWORD)
            count += 1
        counts.append(count)

    started = time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(os.cpu_count() or 1)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return sum(counts) / (time.perf_counter() - started)


def registration() -> bytes:
    """A request of somebody new."""
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "full_name": "Ann Example"}
    return request("POST", "/api/v1/auth/register", body=body)


async def storm(port: int, rate: float, reads: dict[str, bytes]) -> tuple[Result, dict[str, Result]]:
    """Registrations at this rate, and reads beside them."""
    registered, *read = await asyncio.gather(
        open_loop(port, registration, rate=rate, seconds=STORM),
        *(open_loop(port, lambda data=data: data, rate=READS, seconds=STORM) for data in reads.values()),  # type: ignore[misc]
    )
    return registered, dict(zip(reads, read, strict=True))


def main() -> int:
    """Measure; returns the exit code."""
    verdict = Verdict()
    with company(HASH_QUEUE="32") as port:
        token = log_in(port, "client-1@example.com", PASSWORD)
        alone, through = [], []
        for _ in range(ROUNDS):
            alone.append(argon2id(SECONDS))
            result = run(closed_loop(port, registration, connections=CONNECTIONS, seconds=SECONDS))
            result.require_good("registrations")
            through.append(result.rate)
        share = statistics.median(mine / theirs for mine, theirs in zip(through, alone, strict=True))
        rate = statistics.median(alone)
        print(f"argon2id alone: {rate:.1f}/s; registrations: {statistics.median(through):.1f}/s ({share:.0%})")
        verdict.at_least("registrations: share of argon2id's rate alone", share, 0.9)
        reads = {
            "catalogue": request("GET", "/api/v1/services"),
            "own bookings": request("GET", "/api/v1/bookings", token=token),
        }
        calm = run(storm(port, 1.0, reads))[1]
        registered, read = run(storm(port, 2 * rate, reads))
    print(f"a storm of {2 * rate:.0f} registrations a second: {dict(registered.statuses)}")
    shed, created = registered.latencies.get(SHED, []), registered.latencies.get(CREATED, [])
    print(f"created: {len(created) / registered.seconds:.1f}/s, p50 {percentile(created, 0.5):.2f} s")
    print(f"shed: p50 {percentile(shed, 0.5) * 1000:.1f} ms, slowest {max(shed, default=0.0) * 1000:.0f} ms")
    others = {status for status in registered.statuses if status not in {SHED, CREATED}}
    verdict.below("storm: kinds of answers besides 201 and 503", len(others), 1)
    verdict.below("storm: seconds until the slowest refusal", max(shed, default=0.0), 1.0)
    for name, result in read.items():
        result.require_good(name)
        p99 = percentile(result.good(), 0.99)
        print(
            f"{name}: p99 {percentile(calm[name].good(), 0.99) * 1000:.1f} ms in calm, {p99 * 1000:.1f} ms in the storm"
        )
        verdict.below(f"storm: p99 of reads of the {name}, seconds", p99, 0.1)
    return verdict.end()


if __name__ == "__main__":
    sys.exit(main())

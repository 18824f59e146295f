"""What hashing takes is given back when nobody registers any more."""

import os
import subprocess
import sys

from tests.app.conftest import ROOT

HASHES = """
import asyncio, time
from pathlib import Path
from app.kit import hashing
from app.settings import HASH_MEMORY_BYTES, Settings

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def run() -> None:
    hasher = hashing.PasswordHasher(Settings(secret_key="s" * 32, canary_token="c" * 32, hash_workers=1))
    before = resident()
    await asyncio.gather(*(hasher.hash("correct horse") for _ in range(3)))
    assert resident() > before + HASH_MEMORY_BYTES / 2, "it keeps what the next hash needs"
    deadline = time.monotonic() + 10 * hashing.IDLE
    while resident() > before + HASH_MEMORY_BYTES / 4 and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    print((resident() - before) / HASH_MEMORY_BYTES)

asyncio.run(run())
"""


def test_memory_of_hashes_is_given_back() -> None:
    dockerfile = (ROOT / "app" / "Dockerfile").read_text()
    image = dict(word.split("=", 1) for word in dockerfile.split() if word.startswith("MALLOC_"))
    assert image, "the image says how many arenas there are"
    command = [sys.executable, "-c", HASHES]
    environment = os.environ | image
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert float(done.stdout) < 0.25

"""The watchdog ends a process whose event loop stands still, and no other."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPT = """
import asyncio, time
from app.kit.watchdog import LoopWatchdog

async def main():
    LoopWatchdog(1).start()
    await asyncio.sleep(0.3)
    {body}

asyncio.run(main())
"""


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_loop_that_stands_still_is_ended_with_all_stacks() -> None:
    result = run("time.sleep(20)")
    assert result.returncode == 70
    assert "stood still" in result.stderr
    assert "time.sleep" in result.stderr or "in main" in result.stderr


def test_a_busy_loop_goes_on() -> None:
    assert run("[await asyncio.sleep(0.01) for _ in range(200)]").returncode == 0

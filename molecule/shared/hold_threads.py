"""Runs on the test host: holds single threads of a process, as a lock or a device that never answers would.

Usage: hold_threads.py PID hashing|working
  hashing: the threads that hash passwords, which the API makes nicer than the others
  working: every thread but the event loop's and those that hash

It works like a debugger: a held thread can still be killed, and is let go of when this program ends. It ends with the
process.
"""

import ctypes
import os
import sys
from pathlib import Path

SEIZE, INTERRUPT = 0x4206, 0x4207  # ptrace(2)
WALL = 0x40000000  # waitpid(2): all children, threads too
NICENESS = 16  # position in /proc/…/stat after the name, see proc(5)

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


def ptrace(request: int, thread: int) -> None:
    """Make one request of the system call of this name."""
    if libc.ptrace(request, thread, None, None) == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def is_nice(process: str, thread: str) -> bool:
    """Whether the thread lets others go first."""
    stat = Path(f"/proc/{process}/task/{thread}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[NICENESS]) > 0


def main(process: str, which: str) -> None:
    """Hold the threads until the process is gone."""
    threads = [path.name for path in Path(f"/proc/{process}/task").iterdir() if path.name != process]
    held = [thread for thread in threads if is_nice(process, thread) == (which == "hashing")]
    for thread in held:
        ptrace(SEIZE, int(thread))
        ptrace(INTERRUPT, int(thread))
    sys.stdout.write(f"holding {len(held)} of {len(threads) + 1} threads\n")
    sys.stdout.flush()
    try:
        while True:
            os.waitpid(-1, WALL)  # a held thread that dies must be fetched, or its process never ends
    except ChildProcessError:
        pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])

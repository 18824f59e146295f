"""Check that the SQLite inside a Litestream binary can safely open a database that other processes write.

The binary does not print its SQLite version. But SQLite stores its version in the header of each database it writes.
So the binary replicates an empty database, to which it adds its tables, and the version is read from a restored copy.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MINIMUM_VERSION = 3_051_003
"""Earlier versions can corrupt a WAL database with several writing connections; see app/kit/sqlite.py."""
# The header's field with the version of the library that wrote last (https://www.sqlite.org/fileformat.html).
_VERSION_BYTES = slice(96, 100)


def sqlite_version(binary: str) -> int:
    """Return the version of the SQLite inside a binary, e.g. 3053000.

    Raises:
        subprocess.CalledProcessError: the binary failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        empty, restored, settings = (Path(directory, name) for name in ("empty", "restored", "settings"))
        empty.touch()
        # Litestream reads YAML, of which JSON is a subset.
        replica = {"type": "file", "path": f"{directory}/replica"}
        settings.write_text(json.dumps({"dbs": [{"path": str(empty), "replica": replica}]}), encoding="utf-8")
        config = ("-config", str(settings))
        for command in (["replicate", "-once", *config], ["restore", *config, "-o", str(restored), str(empty)]):
            subprocess.run([binary, *command], check=True, capture_output=True, text=True, timeout=60)
        return int.from_bytes(restored.read_bytes()[_VERSION_BYTES], "big")


if __name__ == "__main__":
    found = sqlite_version(sys.argv[1])
    if found < MINIMUM_VERSION:
        sys.exit(f"Litestream includes SQLite {found}, but needs at least {MINIMUM_VERSION}: lock another version")
    print(f"SQLite {found}")  # noqa: T201

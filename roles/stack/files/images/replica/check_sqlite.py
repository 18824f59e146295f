"""See that the SQLite inside a Litestream binary may open a database that other processes write.

The binary does not tell its SQLite's version. But a library that writes to a database leaves its version in the header,
so the binary is given an empty one, in which it makes its tables, and what it restores of that is looked at.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

MINIMUM_VERSION = 3_051_003
"""As app/kit/sqlite.py: earlier versions can corrupt a WAL database that several connections write and checkpoint."""
_WRITER = slice(
    96, 100
)  # of the header: the version of the library that wrote last (https://www.sqlite.org/fileformat.html)


def sqlite_version(binary: str) -> int:
    """Return the version of the SQLite inside a binary, e.g. 3053000.

    Raises:
        subprocess.CalledProcessError: the binary does not work.
    """
    with tempfile.TemporaryDirectory() as directory:
        empty, restored, settings = (Path(directory, name) for name in ("empty", "restored", "settings"))
        empty.touch()
        # JSON is YAML.
        replica = {"type": "file", "path": f"{directory}/replica"}
        settings.write_text(json.dumps({"dbs": [{"path": str(empty), "replica": replica}]}), encoding="utf-8")
        config = ("-config", str(settings))
        for command in (["replicate", "-once", *config], ["restore", *config, "-o", str(restored), str(empty)]):
            subprocess.run([binary, *command], check=True, capture_output=True, text=True, timeout=60)
        return int.from_bytes(restored.read_bytes()[_WRITER], "big")


if __name__ == "__main__":
    found = sqlite_version(sys.argv[1])
    if found < MINIMUM_VERSION:
        sys.exit(f"Litestream brings SQLite {found}, and a live database needs {MINIMUM_VERSION}: lock another version")
    print(f"SQLite {found}")  # noqa: T201

"""A real restic repository whose key opens in milliseconds: the same format, with the least work of scrypt.

restic makes each key so that guessing it takes half a second a guess; a test opens a repository many times.
The format is that of restic's documentation, "Design", "Keys, Encryption and MAC".
"""

import base64
import hashlib
import json
import os
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

KEY = "the-key-of-the-repositories-of-the-tests"
OTHER_KEY = "another-key-of-the-repositories-of-the-tests"


def quicken(directory: Path) -> None:
    """Make a repository, and a key for each of the two above that takes no time."""
    environment = os.environ | {"RESTIC_REPOSITORY": str(directory), "RESTIC_PASSWORD": KEY}
    restic = ["restic", "--no-cache", "--quiet"]
    subprocess.run([*restic, "init"], env=environment, check=True, capture_output=True)
    master = subprocess.run([*restic, "cat", "masterkey"], env=environment, check=True, capture_output=True).stdout
    for slow in (directory / "keys").iterdir():
        slow.unlink()
    add_key(directory, KEY, master)


def add_key(directory: Path, key: str, master: bytes) -> None:
    """Let a repository be opened with a key."""
    salt, nonce = os.urandom(64), os.urandom(16)
    derived = hashlib.scrypt(key.encode(), salt=salt, n=2, r=8, p=1, dklen=64)
    stream = Cipher(algorithms.AES(derived[:32]), modes.CTR(nonce)).encryptor()
    sealed = stream.update(master) + stream.finalize()
    block = Cipher(algorithms.AES(derived[32:48]), modes.ECB()).encryptor()  # noqa: S305  # Poly1305-AES is made so
    tag = Poly1305.generate_tag(derived[48:] + block.update(nonce), sealed)
    content = {
        "created": "2026-01-01T00:00:00Z", "username": "root", "hostname": "host", "kdf": "scrypt",
        "N": 2, "r": 8, "p": 1,
        "salt": base64.b64encode(salt).decode(), "data": base64.b64encode(nonce + sealed + tag).decode(),
    }  # fmt: skip
    text = json.dumps(content).encode()
    (directory / "keys" / hashlib.sha256(text).hexdigest()).write_bytes(text)

"""The key of the repositories, which is known outside this server too."""

from cleaning_service_host.files import write_text_atomically

from cleaning_service_backup.errors import BackupError
from cleaning_service_backup.history import History
from cleaning_service_backup.place import Place

SHORTEST = 20  # characters


def change_key(key: str, place: Place, history: History) -> bool:
    """Let all repositories be opened with a key from now on; what opened them before goes on doing so.

    Args:
        key: as it is to be.
        place: where the server keeps it.
        history: the repositories.

    Returns:
        Whether it is another one than before.

    Raises:
        BackupError: it is too short, or a repository takes no further key; nothing has changed on this server.
    """
    if len(key) < SHORTEST or not key.isprintable():
        raise BackupError(f"a key has at least {SHORTEST} printable characters")
    place.top.mkdir(mode=0o700, exist_ok=True)
    if place.key_file.exists() and place.key_file.read_text(encoding="utf-8").strip() == key:
        return False
    new = place.key_file.with_name("key.new")
    try:
        write_text_atomically(new, f"{key}\n", mode=0o600)
        if place.key_file.exists():
            for repository in history.repositories():
                # One that has not been made yet, or that the key opens already, needs nothing.
                if history.known(repository.name) and not repository.with_key(new).opens():
                    repository.add_key(new)
        new.replace(place.key_file)
    finally:
        new.unlink(missing_ok=True)
    return True

"""What goes wrong with a backup, told in sentences."""


class BackupError(Exception):
    """Something about a backup cannot be done; the message says what, and what to do."""


class BusyError(BackupError):
    """Another backup, drill or restore is under way and does not end."""

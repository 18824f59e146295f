"""Command line of the API: `python -m app serve|migrate|healthcheck|openapi|create-admin|seed|check-database|snapshot`.

Only the module of the chosen command is imported, so that a short command does not load the whole API.
"""

import sys
from importlib import import_module

COMMANDS = {
    "serve": "app.server",
    "migrate": "app.migrations.upgrade",
    "healthcheck": "app.health.probe",
    "openapi": "app.openapi",
    "create-admin": "app.accounts.create_admin",
    "seed": "app.seed",
    "check-database": "app.check_database",
    "snapshot": "app.snapshot",
}
COMMANDS_WITH_ARGUMENTS = frozenset({"migrate", "openapi", "create-admin", "check-database", "snapshot"})
"""The `main` of these commands takes the arguments after the command."""
EX_USAGE = 64  # sysexits.h


def main(arguments: list[str]) -> int:
    """Run the `main` of the command, and return the exit code."""
    command, rest = arguments[:1], arguments[1:]
    if not command or command[0] not in COMMANDS or (rest and command[0] not in COMMANDS_WITH_ARGUMENTS):
        sys.stderr.write(f"usage: python -m app {' | '.join(COMMANDS)}\n")
        return EX_USAGE
    run = import_module(COMMANDS[command[0]]).main
    return int(run(rest) if command[0] in COMMANDS_WITH_ARGUMENTS else run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

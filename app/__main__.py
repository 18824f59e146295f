"""Command line of the API: `python -m app serve|migrate|healthcheck|openapi`.

Only the module of the chosen command is loaded: Docker runs `healthcheck` every few seconds, and it must not
pay for the whole API.
"""

import sys
from importlib import import_module

COMMANDS = {
    "serve": "app.server",
    "migrate": "app.migrations.upgrade",
    "healthcheck": "app.health.probe",
    "openapi": "app.openapi",
}
EX_USAGE = 64  # sysexits.h


def main(arguments: list[str]) -> int:
    """Run the command's `main()` and return the exit code of the process."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        sys.stderr.write(f"usage: python -m app {' | '.join(COMMANDS)}\n")
        return EX_USAGE
    return int(import_module(COMMANDS[arguments[0]]).main())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

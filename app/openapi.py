"""`python -m app openapi [prebuild]`: print the OpenAPI document, or write the file that `serve` reads."""

import json
import sys
from collections.abc import Sequence

from app.kit import document
from app.main import create_app
from app.settings import load_settings_or_exit

EX_USAGE = 64  # sysexits.h


def main(arguments: Sequence[str]) -> int:
    """Print or write the document, and return the exit code."""
    if arguments not in ([], ["prebuild"]):
        sys.stderr.write("usage: python -m app openapi [prebuild]\n")
        return EX_USAGE
    app = create_app(load_settings_or_exit())
    if arguments:
        document.prebuild(app)
        return 0
    json.dump(app.openapi(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0

"""`python -m app openapi`: print the OpenAPI schema."""

import json
import sys

from app.main import create_app
from app.settings import load_settings_or_exit


def main() -> int:
    """Print it; returns the exit code."""
    json.dump(create_app(load_settings_or_exit()).openapi(), sys.stdout, indent=2)
    sys.stdout.write("\n")
    return 0

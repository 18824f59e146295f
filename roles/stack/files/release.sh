#!/usr/bin/env bash
# Manages releases on this server (plan, apply, rollback, start, mend-owners, list). Starts the Python package in this directory.
set -euo pipefail

# Run from the package's own directory: Python looks for modules in the working directory first, and the caller's
# may contain any files. The link in /usr/local/bin is resolved.
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"

# No byte code files, so that the directory contains exactly the deployed files.
export PYTHONDONTWRITEBYTECODE=1

exec /usr/bin/python3 -m cleaning_service_release "$@"

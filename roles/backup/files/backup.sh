#!/usr/bin/env bash
# Backups on this server (list, run, restore, drill, maintain, export, status). The work is done by the Python package beside this file.
set -euo pipefail

# Run from the package's own directory: Python looks for modules in the working directory first, and the caller's
# could hold anything. The link in /usr/local/bin is followed. Names of files are meant as the caller's, so they are told.
export CLEANING_SERVICE_CALLED_FROM=$PWD
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"

# No byte code beside the sources, so that they stay exactly what was deployed.
export PYTHONDONTWRITEBYTECODE=1

exec /usr/bin/python3 -m cleaning_service_backup "$@"

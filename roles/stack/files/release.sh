#!/usr/bin/env bash
# Releases on this server (plan, apply, rollback, start, mend-owners, list). The work is done by the Python package beside this file.
set -euo pipefail

# Run from the package's own directory: Python looks for modules in the working directory first, and the caller's
# could hold anything. The link in /usr/local/bin is followed.
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")"

# No byte code beside the sources, so that they stay exactly what was deployed.
export PYTHONDONTWRITEBYTECODE=1

exec /usr/bin/python3 -m cleaning_service_release "$@"

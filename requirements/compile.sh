#!/usr/bin/env bash
# Locks every dependency with hashes. Run by `make lock` after a change of pyproject.toml; `make lock UPGRADE=1` takes newer versions.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet ${UPGRADE:+--upgrade} "$@"
}

compile pyproject.toml --output-file app/requirements.txt
compile --group controller --constraint app/requirements.txt --output-file requirements/controller.txt
compile --no-annotate --group proxy --output-file roles/stack/files/images/proxy/requirements.txt
compile --no-annotate --group replica --output-file roles/stack/files/images/replica/requirements.txt
compile pyproject.toml --group dev --constraint app/requirements.txt --constraint requirements/controller.txt \
    --constraint roles/stack/files/images/proxy/requirements.txt --constraint roles/stack/files/images/replica/requirements.txt \
    --output-file requirements/dev.txt
compile --no-annotate --group bootstrap --output-file requirements/bootstrap.txt

#!/usr/bin/env bash
# Lints the OpenAPI document with Redocly and Spectral. The document is of an application that is never started: the secrets only have
# to be long enough.
set -euo pipefail
cd "$(dirname "$0")/.."

document=.cache/test/openapi.json programs=tools/clients/node_modules/.bin secret=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
mkdir -p "$(dirname "$document")"
SECRET_KEY=$secret CANARY_TOKEN=$secret python -m app openapi >"$document"
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$programs/redocly" lint "$document" --config tools/clients/redocly.yaml
"$programs/spectral" lint "$document" --ruleset tools/clients/spectral.yaml --fail-severity hint

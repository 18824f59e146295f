#!/usr/bin/env bash
# What monit runs on a test host: restarts one component, makes its container anew where there is none, and waits for its health.
set -euo pipefail
docker restart --time 2 "cleaning_service_$1_stable" ||
    echo "no container to restart"
exec docker compose --file /opt/fastapi-backend/docker-compose.stable.yml up --detach --no-deps --wait --wait-timeout 45 "$1"

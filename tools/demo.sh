#!/usr/bin/env bash
# Manages the throwaway host, a container on this machine: `demo.sh up` creates it, runs site.yml and adds sample data (`demo.sh seed`);
# `demo.sh down` removes it with its data.
set -euo pipefail
cd "$(dirname "$0")/.."

host=cleaning-service-demo
port=${DEMO_PORT:-8080}
url=http://127.0.0.1:$port

up() {
    if ! docker container inspect "$host" >/dev/null 2>&1 && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "Port $port is in use on this machine: choose another one, e.g. DEMO_PORT=8090 make up" >&2
        exit 1
    fi
    echo "== looking for an image registry"
    if timeout 60 docker pull --quiet python:3.13-slim-trixie >/dev/null 2>&1; then
        export IMAGE_SOURCE=registry
    else
        export IMAGE_SOURCE=debian
        echo "   none is reachable: the images are built from Debian packages"
    fi
    echo "== creating the host"
    ansible-playbook -i inventory/demo molecule/shared/create.yml
    echo "== running site.yml against it (the first time takes two or three minutes)"
    ansible-playbook -i inventory/demo site.yml
    docker exec "$host" docker compose --file /opt/fastapi-backend/docker-compose.stable.yml ps --format 'table {{.Name}}\t{{.Status}}'
    echo
    seed
    cat <<TEXT

The booking API runs on a throwaway host on this machine.
  API     $url/health
  docs    $url/docs
  status  $url/status

To try next:
  curl -sS $url/api/v1/auth/register -H 'Content-Type: application/json' \\
       -d '{"email": "ann@example.com", "password": "correct horse battery", "full_name": "Ann Example"}'
  docker exec $host docker kill cleaning_service_api_stable; docker exec $host tail -f /var/log/cleaning_service_monitor.log
  docker exec $host cleaning-service-monitor history
  make down
TEXT
}

seed() {
    # In a separate container: a second Python process would exceed the memory limit of the API's.
    docker exec "$host" docker compose --file /opt/fastapi-backend/docker-compose.stable.yml \
        run --rm --no-deps --no-TTY --env LOG_FILE= api seed
}

case ${1:-} in
    up) up ;;
    seed) seed ;;
    down) ansible-playbook -i inventory/demo molecule/shared/destroy.yml ;;
    *) echo "usage: demo.sh up|seed|down" >&2; exit 2 ;;
esac

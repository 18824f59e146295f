#!/usr/bin/env bash
# Installs on this machine what `make up` needs besides Python packages, and starts Docker where nothing does.
# `prepare_controller.sh tests` installs what the tests and benchmarks need, too.
# Debian and Ubuntu, as root; elsewhere it says what to install by hand.
set -euo pipefail

declare -A package_of=([mmdebstrap]=mmdebstrap [dockerd]=docker.io)
if [ "${1:-}" = tests ]; then
    package_of+=(
        [shellcheck]=shellcheck [redis-server]=redis-server [jq]=jq [pg_ctlcluster]=postgresql [chromium]=chromium [npm]=npm
        [restic]=restic
    )
fi
packages=()
for program in "${!package_of[@]}"; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || packages+=("${package_of[$program]}")
done
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
# An engine elsewhere (Docker Desktop, DOCKER_HOST) serves as well as one installed here.
if docker info >/dev/null 2>&1; then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | grep -v '^docker.io$' || true)
fi
if [ "${#packages[@]}" -gt 0 ] && [ -n "${packages[0]}" ]; then
    command -v apt-get >/dev/null || { echo "Please install: ${packages[*]}" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || { echo "Please run once: sudo apt-get install --no-install-recommends ${packages[*]}" >&2; exit 1; }
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The tests make their own PostgreSQL servers: none has to run all the time.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/cleaning-service.conf
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" iptables debian-archive-keyring fonts-dejavu-core >/dev/null
    # Debian 13 keeps the client in a package of its own; earlier releases have no such package.
    command -v docker >/dev/null || apt-get install -y -qq --no-install-recommends docker-cli >/dev/null
fi

forget_stale_pid() {
    [ -f "$1" ] && [ "$(cat "/proc/$(cat "$1")/comm" 2>/dev/null)" != "$2" ] && rm -f "$1"
    return 0
}

docker info >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] || { echo "Docker does not answer. Please start it, and let $(id -un) use it: sudo usermod -aG docker $(id -un)" >&2; exit 1; }
echo "starting Docker"
if [ -d /run/systemd/system ]; then
    systemctl start docker.service
else
    # An engine that was killed leaves the numbers of its processes behind; they may be somebody else's by now.
    forget_stale_pid /var/run/docker.pid dockerd
    forget_stale_pid /var/run/docker/containerd/containerd.pid containerd
    mkdir -p .cache
    setsid dockerd >.cache/dockerd.log 2>&1 </dev/null &
fi
for _ in {1..60}; do
    docker info >/dev/null 2>&1 && exit 0
    sleep 0.5
done
echo "Docker did not start within 30 s: see .cache/dockerd.log or journalctl -u docker" >&2
exit 1

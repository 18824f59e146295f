#!/usr/bin/env bash
# Installs the programs that `make up` needs on this machine, and starts Docker if it does not run.
# `prepare_controller.sh tests` also installs the programs for the tests and benchmarks.
# Needs Debian or Ubuntu, and root; otherwise it prints what to install.
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
# Another engine (Docker Desktop, DOCKER_HOST) can replace a local one.
if docker info >/dev/null 2>&1; then
    mapfile -t packages < <(printf '%s\n' "${packages[@]}" | grep -v '^docker.io$' || true)
fi
if [ "${#packages[@]}" -gt 0 ] && [ -n "${packages[0]}" ]; then
    command -v apt-get >/dev/null || { echo "Please install: ${packages[*]}" >&2; exit 1; }
    [ "$(id -u)" = 0 ] || { echo "Please run once: sudo apt-get install --no-install-recommends ${packages[*]}" >&2; exit 1; }
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The tests start their own PostgreSQL servers; Debian's default one is not needed.
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.d/cleaning-service.conf
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" iptables debian-archive-keyring fonts-dejavu-core >/dev/null
    # Debian 13 has a separate package for the client; earlier releases do not.
    command -v docker >/dev/null || apt-get install -y -qq --no-install-recommends docker-cli >/dev/null
fi

remove_stale_pid_file() {
    [ -f "$1" ] && [ "$(cat "/proc/$(cat "$1")/comm" 2>/dev/null)" != "$2" ] && rm -f "$1"
    return 0
}

docker info >/dev/null 2>&1 && exit 0
[ "$(id -u)" = 0 ] || { echo "Docker does not answer. Please start it, and let $(id -un) use it: sudo usermod -aG docker $(id -un)" >&2; exit 1; }
echo "starting Docker"
if [ -d /run/systemd/system ]; then
    systemctl start docker.service
else
    # A killed engine leaves its PID files behind; other processes may have these ids by now.
    remove_stale_pid_file /var/run/docker.pid dockerd
    remove_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
    mkdir -p .cache
    setsid dockerd >.cache/dockerd.log 2>&1 </dev/null &
fi
for _ in {1..60}; do
    docker info >/dev/null 2>&1 && exit 0
    sleep 0.5
done
echo "Docker did not start within 30 s: see .cache/dockerd.log or journalctl -u docker" >&2
exit 1

#!/usr/bin/env bash
# Sets up or starts the service on this server, as root. Can be run at any time.
# In a copied checkout, or an unpacked bundle (`make bundle`; then without a network): runs site.yml for this server. The settings are
# in inventory/local/group_vars/all.yml. Arguments are passed to ansible-playbook.
# In /opt/fastapi-backend, where the playbook installs a copy of it: starts stopped containers.
set -euo pipefail
export TMPDIR=/var/tmp  # on disk: on many servers /tmp is in memory and too small for pip to unpack Ansible
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$root"

fail() { echo "setup_stable: $1" >&2; exit 1; }

start_installed_service() {
    systemctl is-active --quiet docker.service || systemctl start docker.service ||
        fail "Docker does not start: journalctl -u docker.service"
    scripts/release.sh start --by setup_stable.sh || fail "the service did not start; the reason is above."
    docker compose --file "$root/docker-compose.stable.yml" ps
    echo "The service is up. More: cleaning-service-monitor status"
}

[ "$(id -u)" = 0 ] || fail "this needs root: run it with sudo."
if [ ! -f site.yml ]; then
    if [ ! -s .env ] || [ ! -f docker-compose.stable.yml ]; then
        fail "$root is not a checkout (site.yml is missing), and no service is installed here. Copy the whole checkout, or unpack the bundle."
    fi
    [ "$#" = 0 ] || fail "arguments are for ansible-playbook, which needs a checkout."
    start_installed_service
    exit
fi
command -v apt-get >/dev/null || fail "only Debian and Ubuntu are supported."

extra=()
pip=(--disable-pip-version-check --quiet --require-hashes)
if [ -d bundle ]; then
    # shellcheck disable=SC1091
    . /etc/os-release
    [ "$(cat bundle/release)" = "${VERSION_CODENAME:-}" ] ||
        fail "this bundle is for the release $(cat bundle/release), and this server runs ${VERSION_CODENAME:-something else}."
    [ "$(cat bundle/architecture)" = "$(dpkg --print-architecture)" ] ||
        fail "this bundle is for $(cat bundle/architecture), and this server is $(dpkg --print-architecture)."
    # While this script runs, apt uses the bundle's packages only; its own package lists are unchanged.
    mkdir -p bundle/apt/lists/partial
    echo "deb [trusted=yes] file:$root/bundle/packages ./" >bundle/apt/sources.list
    printf '%s\n' "Dir::Etc::sourcelist \"$root/bundle/apt/sources.list\";" 'Dir::Etc::sourceparts "-";' \
        "Dir::State::lists \"$root/bundle/apt/lists\";" 'APT::Sandbox::User "root";' >bundle/apt/apt.conf
    export APT_CONFIG=$root/bundle/apt/apt.conf
    pip+=(--no-index --find-links bundle/wheels)
    extra+=(--extra-vars "stack_image_source=archive stack_image_archive=$root/bundle/images.tar.gz docker_source=distro")
    echo "installing from the bundle, without a network"
fi

packages=()
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || packages+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
if [ "${#packages[@]}" -gt 0 ]; then
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Ansible needs Python 3.11 or later here, this is $(python3 --version): run site.yml from a laptop instead."

if ! cmp --silent requirements/controller.txt .venv/controller.txt; then
    echo "installing Ansible into .venv"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/python -m pip install "${pip[@]}" --requirement requirements/controller.txt
    cp requirements/controller.txt .venv/controller.txt
fi

export LC_ALL=C.UTF-8 ANSIBLE_CONFIG=$root/ansible.cfg
exec .venv/bin/ansible-playbook --inventory inventory/local "${extra[@]}" "$@" site.yml

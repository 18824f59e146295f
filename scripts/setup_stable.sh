#!/usr/bin/env bash
# Brings the service up on the server that it runs on, as root, from whatever state it is in. Safe to run at any time.
# In a copied checkout, or an unpacked bundle (`make bundle`; then without any network): sets the server up with the same playbook
# that runs from a laptop. Settings: inventory/local/group_vars/all.yml. Arguments are handed on to ansible-playbook.
# In /opt/fastapi-backend, where the playbook puts a copy of it: starts what is not running.
set -euo pipefail
root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.." && pwd)
cd "$root"

fail() { echo "setup_stable: $1" >&2; exit 1; }

start_what_is_there() {
    local compose=(docker compose --file "$root/docker-compose.stable.yml") image images missing=() as_they_are=()
    systemctl is-active --quiet docker.service || systemctl start docker.service ||
        fail "Docker does not start: journalctl -u docker.service"
    mkdir -p releases
    exec 9>>releases/lock
    flock --wait 1800 9 || fail "a release does not end: cleaning-service-release list"
    printf '{"by": "setup_stable.sh", "since": %d, "pid": %d}' "$(date +%s)" $$ >releases/lock
    if [ -e releases/under-way.json ]; then
        # Its files are in place, and nobody has seen whether they work: what runs goes on as it is.
        as_they_are=(--no-recreate)
        echo "A release was interrupted. End it with playbooks/deploy.yml, or take it back: cleaning-service-release rollback"
    fi
    scripts/release.sh neighbours || fail "Compose would take containers of another project for this one's."
    images=$("${compose[@]}" config --images)
    while read -r image; do
        docker image inspect "$image" >/dev/null 2>&1 || missing+=("$image")
    done < <(sort -u <<<"$images")
    [ "${#missing[@]}" = 0 ] || fail "images are missing (${missing[*]}): run site.yml again, which makes them."
    "${compose[@]}" up --detach --wait --wait-timeout 120 "${as_they_are[@]}" ||
        fail "not everything became healthy: docker compose -f $root/docker-compose.stable.yml logs --tail 50"
    systemctl enable --quiet --now cleaning-service-monitor.service
    "${compose[@]}" ps
    echo "The service is up. More: cleaning-service-monitor status"
}

[ "$(id -u)" = 0 ] || fail "this needs root: run it with sudo."
if [ ! -f site.yml ]; then
    if [ ! -s .env ] || [ ! -f docker-compose.stable.yml ]; then
        fail "$root is no checkout (site.yml is missing), and no service is set up here. Copy the whole checkout, or unpack the bundle."
    fi
    [ "$#" = 0 ] || fail "arguments are for ansible-playbook, and here is no checkout to run it from."
    start_what_is_there
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
    # apt sees the bundle's packages and nothing else, for as long as this script runs; its own lists stay as they are.
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

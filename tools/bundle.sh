#!/usr/bin/env bash
# Builds dist/cleaning-service-bundle-RELEASE.tar: the checkout with the Debian packages, Python wheels and images that
# scripts/setup_stable.sh needs on a server without a network. The argument is the Debian release, by default trixie. Also builds
# dist/cleaning-service-images-RELEASE.tar.gz, the images alone, for stack_image_source: archive.
set -euo pipefail
cd "$(dirname "$0")/.."

release=${1:-trixie}
[ "$release" = trixie ] || {
    echo "Only bundles for Debian 13 (trixie) are supported: other releases have other packages, or none of Compose v2." >&2
    exit 2
}
host=cleaning-service-bundle
work=$PWD/.cache/bundle
tree=$work/cleaning-service
target=dist/cleaning-service-bundle-$release.tar
images=dist/cleaning-service-images-$release.tar.gz
# The packages that the script needs and that the roles install.
packages=(
    python3 python3-venv python3-apt apt-utils iproute2
    ca-certificates curl logrotate procps systemd-timesyncd tzdata
    docker.io docker-cli docker-compose iptables apparmor
    restic openssh-client
)

play() {
    ansible-playbook --inventory "$work/inventory" "$@"
}

rm -rf "$work"
mkdir -p "$work/inventory" "$tree/bundle/packages" "$tree/bundle/wheels" dist
trap 'play molecule/shared/destroy.yml >/dev/null 2>&1; rm -rf "$work"' EXIT

echo "== the checkout"
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --directory "$tree"
echo "$release" >"$tree/bundle/release"
dpkg --print-architecture >"$tree/bundle/architecture"

echo "== Debian packages"
include=$(IFS=,; echo "${packages[*]}")
export TMPDIR=/var/tmp  # used by mmdebstrap; /tmp may be in memory
# mmdebstrap passes the new root directory to each hook as $1.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=apt --include="$include" --skip=download/empty --skip=essential/unlink \
    --customize-hook='chroot "$1" sh -c "cd /var/cache/apt/archives && apt-ftparchive packages . >Packages"' \
    --customize-hook="sync-out /var/cache/apt/archives $tree/bundle/packages" \
    "$release" /dev/null

echo "== a host that builds the images"
cat >"$work/inventory/hosts.yml" <<YAML
all:
  hosts:
    $host:
      ansible_connection: community.docker.docker
      test_host_release: $release
YAML
ln -s "$PWD/inventory/demo/group_vars" "$work/inventory/group_vars"
play molecule/shared/create.yml
play site.yml --extra-vars backup_replica=/srv/replica  # so that the replica's image is included
docker exec "$host" sh -c \
    'cd /opt/fastapi-backend && docker save $(for file in docker-compose.stable.yml docker-compose.backup.yml; do
        docker compose --file "$file" config --images; done | sort -u)' \
    | gzip --fast >"$images"
ln "$images" "$tree/bundle/images.tar.gz"

echo "== Python wheels"
docker exec --env DEBIAN_FRONTEND=noninteractive "$host" apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
docker exec "$host" python3 -m venv /root/venv
[ -z "${SSL_CERT_FILE:-}" ] || docker cp "$SSL_CERT_FILE" "$host:/root/ca.crt" >/dev/null
docker cp requirements/controller.txt "$host:/root/controller.txt" >/dev/null
docker exec ${SSL_CERT_FILE:+--env PIP_CERT=/root/ca.crt} ${PIP_INDEX_URL:+--env PIP_INDEX_URL} "$host" \
    /root/venv/bin/pip download --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
    --dest /root/wheels --requirement /root/controller.txt
docker cp "$host:/root/wheels/." "$tree/bundle/wheels/" >/dev/null

tar --create --file "$target" --directory "$work" cleaning-service
echo "$images: $(du --human-readable "$images" | cut -f1)"
echo "$target: $(du --human-readable "$target" | cut -f1)"
echo "On the server, as root: tar xf $(basename "$target") && cleaning-service/scripts/setup_stable.sh"

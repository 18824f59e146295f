#!/usr/bin/env bash
# Builds the image of a test host: a bare Debian or Ubuntu server that boots systemd, from its packages alone.
# Usage: build_host_image.sh [RELEASE]    prints the image's name; an image that is already there is kept.
set -euo pipefail

release=${1:-trixie}
digest=$(sha256sum "$0" | cut -c1-12)
image="cleaning-service/test-host:${release}-${digest}"

exec 8>"${TMPDIR:-/tmp}/cleaning-service-test-host-image.lock"
flock 8  # a second one waits, and finds the first one's image
if docker image inspect "$image" >/dev/null 2>&1; then
    echo "$image"
    exit 0
fi
command -v mmdebstrap >/dev/null || { echo "mmdebstrap is missing: run 'make setup' first." >&2; exit 1; }

export TMPDIR=/var/tmp  # /tmp may be memory; mmdebstrap heeds it too
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A container has a read-only /proc/sys; a Docker engine inside it has to write there, as on a server.
cat >"$work/writable-proc-sys.service" <<'UNIT'
[Unit]
Description=Make /proc/sys writable, as it is on a server
DefaultDependencies=no
Before=sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/mount -o remount,rw /proc/sys

[Install]
WantedBy=sysinit.target
UNIT

# Many servers give root a umask of 077: what Ansible runs gets it from here (inventory/demo/group_vars/all.yml).
cat >"$work/python3-umask-077" <<'SCRIPT'
#!/bin/sh
umask 077
exec /usr/bin/python3 "$@"
SCRIPT
chmod 755 "$work/python3-umask-077"

# mmdebstrap hands the new root directory to each hook as $1.
# shellcheck disable=SC2016
hooks=(
    --customize-hook="upload $work/writable-proc-sys.service /etc/systemd/system/writable-proc-sys.service"
    --customize-hook="copy-in $work/python3-umask-077 /usr/local/bin"
    --customize-hook='chroot "$1" systemctl --quiet enable writable-proc-sys.service'
    --customize-hook='chroot "$1" systemctl --quiet mask systemd-modules-load.service'
    --customize-hook='rm -f "$1/etc/machine-id" && touch "$1/etc/machine-id"'
)
components=()
case $release in
    # Ubuntu keeps Docker in another part of its archive. Its keyring is the package ubuntu-keyring.
    jammy | noble) components=("--components=main universe") ;;
esac
echo "building the test host's image ($release), about half a minute" >&2
mmdebstrap --quiet --variant=apt \
    --include=python3,systemd,systemd-sysv,dbus,ca-certificates,iproute2,iptables \
    "${hooks[@]}" "${components[@]}" \
    "$release" "$work/host.tar" >&2
docker import --change 'CMD ["/sbin/init"]' "$work/host.tar" "$image" >/dev/null
echo "$image"

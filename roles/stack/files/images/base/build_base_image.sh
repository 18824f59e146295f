#!/bin/sh
# Makes the image that all others are built on from Debian packages alone, for hosts that reach no image registry.
# Usage: build_base_image.sh IMAGE
set -eu

# On disk: /tmp is memory on many servers, and half of that is too little for a root file system. mmdebstrap heeds TMPDIR too.
export TMPDIR=/var/tmp
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    trixie "$work/base.tar"
docker import "$work/base.tar" "$1"

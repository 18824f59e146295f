#!/bin/sh
# Builds the base image of all other images from Debian packages, for hosts without access to an image registry.
# Usage: build_base_image.sh IMAGE
set -eu

# On disk: on many servers /tmp is in memory and too small for a root file system. mmdebstrap uses TMPDIR too.
export TMPDIR=/var/tmp
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    trixie "$work/base.tar"
docker import "$work/base.tar" "$1"

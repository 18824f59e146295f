#!/bin/sh
# Runs on a test host: makes a small Compose project of somebody else, and remembers in /root/neighbour what it is like.
# Where there is no engine yet, it brings one, with settings of its own. Does nothing where the project is there already, or where
# the distribution packages no Compose v2.
set -eu
[ ! -e /root/neighbour ] || exit 0
# shellcheck disable=SC1091
. /etc/os-release
case $VERSION_CODENAME in
    trixie) packages="docker.io docker-cli docker-compose" ;;
    jammy | noble) packages="docker.io docker-compose-v2" ;;
    *) exit 0 ;;
esac
export DEBIAN_FRONTEND=noninteractive
if ! command -v docker >/dev/null; then
    mkdir -p /etc/docker
    cat >/etc/docker/daemon.json <<'JSON'
{"bip": "172.29.250.1/24", "log-driver": "local", "default-address-pools": [{"base": "172.28.0.0/16", "size": 24}]}
JSON
else
    packages=
fi
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -qq -y --no-install-recommends $packages iptables busybox-static >/dev/null
systemctl start docker.service

mkdir -p /srv/shop/image/bin
cp /bin/busybox /srv/shop/image/bin/
tar --create --directory /srv/shop/image bin | docker import - shop/web:1 >/dev/null
cat >/srv/shop/docker-compose.yml <<'YAML'
services:
  web:
    image: shop/web:1
    pull_policy: never
    command: [/bin/busybox, httpd, -f, -p, "8000", -h, /goods]
    restart: unless-stopped
    ports: ["18080:8000"]
    volumes: ["goods:/goods"]
    labels: {shop.owner: somebody else}
volumes:
  goods:
YAML
docker compose --file /srv/shop/docker-compose.yml up --detach --quiet-pull 2>/dev/null
echo soap >"$(docker volume inspect --format '{{.Mountpoint}}' shop_goods)/index.html"
mkdir /root/neighbour
docker inspect shop-web-1 >/root/neighbour/container.json
docker volume inspect shop_goods >/root/neighbour/volume.json
docker network inspect shop_default >/root/neighbour/network.json
docker image inspect shop/web:1 >/root/neighbour/image.json
cp /etc/docker/daemon.json /root/neighbour/ 2>/dev/null || true

#!/bin/sh
# What the lab and other tests run: the real servers, the real firewall, the real
# bans, balancers, proxies, a real certificate authority. With the word `demo` only what the
# demo needs of it. Does nothing where all is already there; nothing is started or enabled.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"

missing=$(missing_packages \
  nginx=nginx unbound=unbound nft=nftables fail2ban-server=fail2ban \
  ip=iproute2 ping=iputils-ping curl=curl \
  unshare=util-linux nsenter=util-linux setpriv=util-linux mount=mount \
  sysctl=procps)
if [ "${1:-}" != demo ]; then
  missing="$missing $(missing_packages \
    crowdsec=crowdsec crowdsec-firewall-bouncer=crowdsec-firewall-bouncer \
    haproxy=haproxy knotd=knot squid=squid tinyproxy=tinyproxy \
    pebble=pebble python3=python3)"
  # Answers by the asker's address are a module of knot's, without a command of its own.
  [ -n "$(find /usr/lib -path '*/knot/modules*' -name geoip.so 2>/dev/null)" ] ||
    missing="$missing knot-module-geoip"
fi
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "The lab" $missing
fi

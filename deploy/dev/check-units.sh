#!/bin/sh
# The unit files: are they in order, and how much of the system does each leave open? More than 1.5 of systemd's own
# measure (`systemd-analyze security`, 0 is nothing, 10 is everything) is a failure. Nothing is started; make test-units does.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"

missing=$(missing_packages systemd-analyze=systemd)
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "Checking units" $missing
fi

# A unit is in order only beside the program that it starts.
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/units" "$tree/bin"
failed=0
for unit in onlyhere-probe onlyhere-coordinator; do
  printf '#!/bin/sh\n' >"$tree/bin/$unit"
  chmod 755 "$tree/bin/$unit"
  sed "s|^ExecStart=/usr/bin/|ExecStart=$tree/bin/|" "$root/deploy/systemd/$unit.service" >"$tree/units/$unit.service"
  said=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$tree/units/$unit.service" 2>&1) || failed=1
  if [ -n "$said" ]; then
    printf '%s\n' "$said" >&2
    failed=1
  fi
  systemd-analyze security --offline=true --no-pager --threshold=15 "$root/deploy/systemd/$unit.service" >"$tree/exposure" ||
    { failed=1 && grep -v '^✓' "$tree/exposure" >&2; }
  grep 'Overall exposure' "$tree/exposure"
done
exit "$failed"

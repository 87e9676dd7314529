#!/bin/sh
# The units, run for real: boots a small Debian in a network namespace of its own (systemd-nspawn), installs the programs and
# units there, joins a probe as its own user, checks three targets through coordinator and probe, and looks at what the
# two live processes may still do. Exit code 77 where this machine cannot: that is no pass.
#
# Takes the programs of target/debug. The system is made by debootstrap once, and kept in target/units.tar.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"

skipped() {
  echo "SKIPPED: $1; no unit was started" >&2
  exit 77
}
[ "$(id -u)" -eq 0 ] || skipped "starting a system of its own needs root"
missing=$(missing_packages systemd-nspawn=systemd-container debootstrap=debootstrap ip=iproute2 nsenter=util-linux \
  python3=python3 tar=tar)
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "Testing units" $missing
fi
for program in onlyhere onlyhere-probe onlyhere-coordinator; do
  [ -x "$root/target/debug/$program" ] || skipped "target/debug/$program is missing: make build"
done

work=$(mktemp -d)
system=$work/system
net=onlyhere-units-$$
nspawn=
server=
# shellcheck disable=SC2317 # a trap calls it
finish() {
  status=$?
  trap - EXIT
  [ "$status" -eq 0 ] || [ ! -s "$work/log" ] || tail -n 40 "$work/log" >&2
  # Whatever of these is not there yet, or has gone by itself, needs no end; and what was killed just now is not well.
  for pid in $(ip netns pids "$net" 2>/dev/null); do kill -9 "$pid" 2>/dev/null || true; done
  # shellcheck disable=SC2086 # two process numbers, or none
  wait $nspawn $server 2>/dev/null || true # the status of killed processes; $status is the test's
  ip netns delete "$net" 2>/dev/null || true # there is none when the test ended before it was made
  rm -rf --one-file-system "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The programs are this machine's, so the system is of the same release.
# shellcheck source=/dev/null
. /etc/os-release
base=$root/target/units.tar
if [ ! -s "$base" ]; then
  echo "Making a small $ID $VERSION_CODENAME by debootstrap" >&2
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$VERSION_CODENAME" "$work/base" >"$work/log" 2>&1 ||
    skipped "debootstrap could make no small $ID $VERSION_CODENAME ($(tail -n 1 "$work/log"))"
  tar -C "$work/base" -cf "$base.new" .
  mv "$base.new" "$base"
  rm -rf "$work/base"
fi
mkdir "$system"
tar -C "$system" -xf "$base"

# As docs/operating.md says.
install -m 755 "$root/target/debug/onlyhere" "$root/target/debug/onlyhere-probe" \
  "$root/target/debug/onlyhere-coordinator" "$system/usr/bin/"
install -m 644 "$root/deploy/systemd/onlyhere-probe.service" "$root/deploy/systemd/onlyhere-coordinator.service" \
  "$system/usr/lib/systemd/system/"
install -m 644 "$root/deploy/systemd/onlyhere.sysusers.conf" "$system/usr/lib/sysusers.d/onlyhere.conf"
install -m 644 "$root/deploy/systemd/onlyhere.tmpfiles.conf" "$system/usr/lib/tmpfiles.d/onlyhere.conf"
mkdir -p "$system/etc/onlyhere"
# The range of the test's own address is private; everything else is as in the samples.
sed 's|^allow = \[\]|allow = ["198.18.0.0/15"]|' "$root/probe-node/sample.toml" >"$system/etc/onlyhere/probe.toml"
sed 's|^allow_private = \[\]|allow_private = ["198.18.0.0/15"]|; s|^listen = "0.0.0.0:7443"|&\nadvertise = "127.0.0.1:7443"|' \
  "$root/coordinator/sample.toml" >"$system/etc/onlyhere/coordinator.toml"

ip netns add "$net"
ip -n "$net" link set lo up
ip -n "$net" address add 198.18.0.1/32 dev lo
ip netns exec "$net" sysctl -qw net.ipv4.ping_group_range='0 2147483647'
mkdir "$work/site"
echo hello >"$work/site/index.html"
ip netns exec "$net" python3 -m http.server --bind 198.18.0.1 --directory "$work/site" 80 >/dev/null 2>&1 &
server=$!
# A container forbids Landlock by default, a machine does not.
systemd-nspawn --quiet --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' --register=no --keep-unit --network-namespace-path="/run/netns/$net" --directory="$system" \
  --boot >"$work/log" 2>&1 &
nspawn=$!

# in_system COMMAND...: within the booted system.
in_system() {
  nsenter -t "$init" -m -u -i -p -n -r -w -- env -i PATH=/usr/bin:/usr/sbin:/bin LANG=C.UTF-8 "$@"
}

# within SECONDS COMMAND...: waits until the command succeeds.
within() {
  end=$(($(date +%s) + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s)" -lt "$end" ] || return 1
    sleep 0.5
  done
}

# Its first process is the one there that is called systemd and belongs to root.
# shellcheck disable=SC2317 # `within` calls it
find_init() {
  for pid in $(ip netns pids "$net"); do
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = systemd ] && init=$pid && return 0
  done
  return 1
}
init=
within 60 find_init || skipped "the small system did not start (see systemd-nspawn in $work/log)"
within 120 in_system systemctl is-active multi-user.target ||
  skipped "the small system did not come up: $(in_system systemctl is-system-running 2>&1)"
echo "a $PRETTY_NAME with $(in_system systemctl --version | head -n 1) is up"

as() {
  user=$1
  shift
  in_system setpriv --reuid="$user" --regid="$user" --clear-groups "$@"
}
token() {
  as onlyhere-coordinator onlyhere-coordinator token create --config /etc/onlyhere/coordinator.toml \
    --data-dir /var/lib/onlyhere-coordinator "$@"
}
in_system systemctl start onlyhere-coordinator
as onlyhere-probe onlyhere-probe join "$(token --kind probe --name unit)" --data-dir /var/lib/onlyhere-probe
in_system systemctl start onlyhere-probe
client=$(token --kind client --name test)

failed=0
# check TARGET EXIT STAGE OUTCOME: asks, and looks at what the probe saw.
check() {
  status=0
  in_system env ONLYHERE_ALLOW_PRIVATE='["198.18.0.0/15"]' onlyhere check --coordinator http://127.0.0.1:7080 \
    --token "$client" --require-coordinator --format json "$1" >"$work/report.json" 2>"$work/error" || status=$?
  if [ -s "$work/report.json" ] && python3 - "$work/report.json" "$3" "$4" <<'PYTHON' && [ "$status" -eq "$2" ]; then
import json, sys

report = json.load(open(sys.argv[1]))
seen = {}
for vantage in report["vantages"]:
    for o in vantage["observations"] if vantage["id"] == "unit" else []:
        # The first of each stage: later ones may be of another port.
        seen.setdefault(o["stage"], o)
for stage in seen:
    print(f'  the probe: {stage} {seen[stage]["outcome"]} {seen[stage].get("by", "")} {seen[stage].get("detail", "")}')
print(f'{report["target"]["input"]}: {report["verdict"]["headline"]}')
sys.exit(seen.get(sys.argv[2], {}).get("outcome") != sys.argv[3])
PYTHON
    return
  fi
  echo "FAILED: $1 gave $status, not $2 and $3 $4: $(cat "$work/error")" >&2
  failed=1
}
check http://198.18.0.1/ 0 http ok
check ping://198.18.0.1 0 icmp ok
# Refused everywhere: the probe's socket and its error queue work within the sandbox.
check tcp://198.18.0.1:81 16 tcp refused

# is WHAT GOT WANTED
is() {
  [ "$2" = "$3" ] && return
  echo "FAILED: $1 is $2, not $3" >&2
  failed=1
}
# Another process sees that the daemon is attached, in spite of its sandbox.
is "onlyhere-probe status" \
  "$(as onlyhere-probe onlyhere-probe status --wait 10 --data-dir /var/lib/onlyhere-probe 2>&1 | cut -d ' ' -f 1,2,4,5)" \
  "attached to as unit"
# As far as this kernel knows Landlock.
landlock=$(python3 -c 'import ctypes; print(ctypes.CDLL(None).syscall(444, 0, 0, 1))')
case $landlock in
  -*) files='not at all' ;;
  [1-5]) files='as far as the kernel can' ;;
  *) files=wholly ;;
esac
expected="confined itself files=$files calls=wholly"
for unit in onlyhere-probe onlyhere-coordinator; do
  echo "$unit.service, running:"
  in_system systemctl show "$unit" -p User,NoNewPrivileges,CapabilityBoundingSet,ProtectSystem,MemoryMax,MemoryCurrent,Result |
    sed 's/^/  /'
  main=$(in_system systemctl show "$unit" -p MainPID --value)
  status() { in_system sed -n "s/^$1:[[:space:]]*//p" "/proc/$main/status"; }
  for field in Uid CapEff CapBnd NoNewPrivs Seccomp Seccomp_filters VmRSS; do
    echo "  /proc/PID/status: $field $(status "$field")"
  done
  is "$unit: active" "$(in_system systemctl is-active "$unit")" active
  is "$unit: effective capabilities" "$(status CapEff)" 0000000000000000
  is "$unit: bounding capabilities" "$(status CapBnd)" 0000000000000000
  is "$unit: NoNewPrivs" "$(status NoNewPrivs)" 1
  is "$unit: Seccomp" "$(status Seccomp)" 2
  [ "$(status Uid | cut -f 1)" -gt 0 ] || is "$unit: user" root another
  says=$(in_system journalctl -q -u "$unit" -o cat | grep -o 'confined itself.*')
  echo "  it says: $says"
  is "$unit: its own sandbox" "$says" "$expected"
  # As the service sees the files even root writes nowhere but in the data directory, and starts no other program.
  view=/proc/$main/root
  for folder in etc usr var/lib "var/lib/$unit"; do
    said=writable
    in_system touch "$view/$folder/x" 2>/dev/null || said=read-only
    echo "  /$folder: $said"
    case $folder in
      var/lib/onlyhere-*) is "$unit: /$folder" "$said" writable ;;
      *) is "$unit: /$folder" "$said" read-only ;;
    esac
  done
  said=started
  in_system nsenter -t "$main" -m -- /usr/bin/true 2>/dev/null || said=refused
  is "$unit: another program" "$said" refused
done

for unit in onlyhere-probe onlyhere-coordinator; do
  in_system systemctl stop "$unit"
  is "$unit: its end" "$(in_system systemctl show "$unit" -p Result --value)" success
done
[ "$failed" -eq 0 ] && echo "both units run, measure and stop within their sandbox"
exit "$failed"

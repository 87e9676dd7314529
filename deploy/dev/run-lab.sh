#!/bin/sh
# Runs `onlyhere-lab` with the given arguments: `run` for the scenarios, `guard` for what a
# probe must not try, `formats` for every format, `hostile` for what is hostile. Exit code 77 means that this machine
# allows no network namespaces: nothing was tested. That is said loudly and is never a pass
# where the lab is required (LAB_REQUIRED=1, as CI sets it).
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)

"$root/target/debug/onlyhere-lab" "$@"
status=$?
[ "$status" -eq 77 ] || exit "$status"

cat >&2 <<'BOX'

  ****************************************************************************
  *  SKIPPED: needs user namespaces                                          *
  *  Nothing of the lab has run. Run as root, or allow unprivileged          *
  *  user namespaces (sysctl kernel.unprivileged_userns_clone=1, or on       *
  *  Ubuntu kernel.apparmor_restrict_unprivileged_userns=0).                 *
  ****************************************************************************

BOX
if [ "${LAB_REQUIRED:-}" = 1 ]; then
  echo "The lab is required here, so this is a failure." >&2
  exit 77
fi

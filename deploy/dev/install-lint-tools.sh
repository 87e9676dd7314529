#!/bin/sh
# The linters. Those that Debian does not have go, each in one pinned version, into the
# git-ignored folder .tools. About two minutes the first time, because two of them are
# compiled; nothing afterwards.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
tools=$root/.tools
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"

missing=$(missing_packages shellcheck=shellcheck python3=python3)
# Debian's python3 has venv, but not the ensurepip that it needs.
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "Linting" $missing
fi

# Again only when the pinned versions have changed.
pins=$here/lint-requirements.txt
if ! cmp -s "$pins" "$tools/python/installed.txt"; then
  rm -rf "$tools/python"
  python3 -m venv "$tools/python"
  "$tools/python/bin/pip" install --quiet --disable-pip-version-check --no-deps \
    --only-binary :all: --require-hashes --requirement "$pins"
  cp "$pins" "$tools/python/installed.txt"
fi

"$here/install-build-tools.sh"
# shellcheck source=deploy/dev/cargo-tool.sh
. "$here/cargo-tool.sh"
cargo_tool cargo-deny 0.20.2
cargo_tool cargo-machete 0.9.2

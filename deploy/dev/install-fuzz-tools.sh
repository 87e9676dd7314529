#!/bin/sh
# What it takes to fuzz: cargo-fuzz, and a C++ compiler for the fuzzer's own library. Does nothing where they are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"
"$here/install-build-tools.sh"

missing=$(missing_packages c++=g++)
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "Fuzzing" $missing
fi
# shellcheck source=deploy/dev/cargo-tool.sh
. "$here/cargo-tool.sh"
cargo_tool cargo-fuzz 0.13.2

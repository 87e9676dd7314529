#!/bin/sh
# What it takes to build: a C compiler and linker (for ring and SQLite) and the Rust
# toolchain that rust-toolchain.toml names. Does nothing where they are already there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
apt_sh=$here/apt.sh
# shellcheck source=deploy/dev/apt.sh
. "$apt_sh"

missing=$(missing_packages cc=gcc make=make curl=curl git=git)
# gcc alone brings no C headers when recommended packages are left out.
[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
# The certificates that https needs; a machine may keep them in either form.
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
if [ -n "${missing# }" ]; then
  # shellcheck disable=SC2086 # a list of package names
  install_packages "Building onlyhere" $missing
fi

PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
export PATH
channel=$(sed -n 's/^channel = "\(.*\)"$/\1/p' "$root/rust-toolchain.toml")

# cargo_is_enough: is the cargo that would be used here as new as the pinned one? With
# rustup it is the pinned one; a distribution's own may be newer.
cargo_is_enough() {
  have=$(cd "$root" && cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9.]*\).*/\1/p')
  [ -n "$have" ] && printf '%s\n' "$channel" "$have" | sort -V -C
}

if cargo_is_enough; then exit 0; fi
if ! command -v rustup >/dev/null 2>&1; then
  echo "Installing rustup, for Rust $channel" >&2
  # Downloaded whole before it runs: a broken connection must not run half a script.
  rustup_init=$(mktemp)
  trap 'rm -f "$rustup_init"' EXIT
  curl --proto '=https' --tlsv1.2 --silent --show-error --fail --location \
    --output "$rustup_init" https://sh.rustup.rs
  RUSTUP_INIT_SKIP_PATH_CHECK=yes sh "$rustup_init" -y --quiet --no-modify-path --profile minimal --default-toolchain none
fi
# A toolchain that serves is never installed over: other projects may be using it right now.
cargo_is_enough ||
  (cd "$root" && rustup toolchain install "$channel" --profile minimal --component clippy,rustfmt)
cargo_is_enough || {
  echo "Rust $channel is needed; cargo here is ${have:-missing}." >&2
  exit 1
}

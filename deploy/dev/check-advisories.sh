#!/bin/sh
# Known vulnerabilities in the dependency tree, by the RustSec database. Exit code 77 when
# that database cannot be reached: then nothing is known, and it is said.
set -u
cd "$(dirname "$0")/../.." || exit 1

if ! cargo deny fetch db; then
  echo "ADVISORIES NOT CHECKED: the RustSec database could not be reached from here." >&2
  exit 77
fi
cargo deny --locked check advisories

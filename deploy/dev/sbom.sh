#!/bin/sh
# The software bill of materials: one CycloneDX file for each program, in target/sbom, of all that is linked into it. Fails
# where a file does not name every package that cargo links into that program from Cargo.lock, in the same version.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
"$here/install-build-tools.sh"
# shellcheck source=deploy/dev/cargo-tool.sh
. "$here/cargo-tool.sh"
cargo_tool cargo-cyclonedx 0.5.9
cd "$root"

platform=$(rustc -vV | sed -n 's/^host: //p')
folder=target/sbom
rm -rf "$folder"
mkdir -p "$folder"
# The tool writes each file beside the crate's manifest and knows no other place.
trap 'rm -f ./*/onlyhere.cdx.json' EXIT
cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps \
  --target "$platform" --override-filename onlyhere.cdx

failed=0
for program in coordinator probe-node cli; do
  case $program in
    probe-node) name=onlyhere-probe ;;
    cli) name=onlyhere ;;
    *) name=onlyhere-$program ;;
  esac
  mv "$program/onlyhere.cdx.json" "$folder/$name.cdx.json"
  # What is linked: no development or build dependency, no proc-macro and what only that needs.
  cargo tree --locked --quiet --package "onlyhere-$program" --edges normal,no-proc-macro --target "$platform" \
    --prefix none --format '{p}' | sed 's/ (.*//; s/ v/ /' | sort -u >"$folder/$name.linked"
  python3 - "$folder/$name.cdx.json" <<'PYTHON' | sort -u >"$folder/$name.listed"
import json, sys

bom = json.load(open(sys.argv[1]))
for component in bom["components"] + [bom["metadata"]["component"]]:
    print(component["name"], component["version"])
PYTHON
  lacking=$(comm -23 "$folder/$name.linked" "$folder/$name.listed")
  if [ -n "$lacking" ]; then
    printf '%s lacks:\n%s\n' "$folder/$name.cdx.json" "$lacking" >&2
    failed=1
  fi
  printf '%s: %d packages, all %d that are linked\n' "$folder/$name.cdx.json" \
    "$(wc -l <"$folder/$name.listed")" "$(wc -l <"$folder/$name.linked")"
  rm "$folder/$name.linked" "$folder/$name.listed"
done
exit "$failed"

# shellcheck shell=sh
# Tools of cargo that Debian does not have, each in one pinned version, in the git-ignored folder .tools: sourced by the
# scripts beside it, which say in root where the project stands.

PATH=${root:?}/.tools/bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
export PATH

# cargo_tool NAME VERSION: compiled without optimisation, which is the quicker way in all.
cargo_tool() {
  # A subcommand says its version under its own name, or only behind the word that calls it.
  for call in "$1" "$1 ${1#cargo-}"; do
    case "$($call --version 2>/dev/null)" in
      "$2" | "$1 $2" | "$1-$1 $2") return 0 ;;
    esac
  done
  echo "Compiling $1 $2 into .tools" >&2
  (cd "$root" && cargo install --quiet --locked --debug "$1@$2" --root "$root/.tools" --target-dir "$root/.tools/target-$1")
  rm -rf "$root/.tools/target-$1"
}

#!/bin/sh
# Fuzzes: fuzz.sh SECONDS [TARGET...] runs each target of tests/fuzz (or those named) for so many seconds, then prints
# what came of it. What it finds lies in tests/fuzz/artifacts, what it learned in tests/fuzz/corpus; both are ignored
# by git. It begins with the seeds in tests/fuzz/seeds.
#
# The toolchain is the pinned, stable one: coverage comes from compiler passes that it has, and the sanitizers, which it
# has not, would find little in code that is forbidden `unsafe`. Debug assertions and overflow checks are on.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:?how many seconds for each target}
shift
cd "$root/tests/fuzz" || exit 1

cargo fuzz build --sanitizer none --fuzz-dir . || exit 1
[ $# -gt 0 ] || {
  # shellcheck disable=SC2046 # names without spaces
  set -- $(cargo fuzz list --fuzz-dir .)
}

# number LOG WORD: what stands behind the last `WORD:` in a log of libFuzzer.
number() {
  sed -n "s/.* $2: \([0-9]*\).*/\1/p" "$1" | tail -n 1
}

failed=0
table=$(printf '%-16s %-8s %12s %8s %8s %8s' target result executions '/s' 'cov from' 'to')
for target in "$@"; do
  printf '\n== fuzz %s for %s s\n' "$target" "$seconds"
  log=$(mktemp)
  mkdir -p "corpus/$target" "artifacts/$target"
  # A single input may take 10 seconds and 1 GiB: what takes more is a finding.
  cargo fuzz run --sanitizer none --fuzz-dir . "$target" "corpus/$target" "seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=16384 \
    -print_final_stats=1 >"$log" 2>&1
  status=$?
  if [ "$status" -eq 0 ]; then
    result=ok
  else
    result="FAILED"
    failed=1
    # What failed stands above a long trace of cargo-fuzz's own; with the input, so that a log is enough to mend it.
    grep -v -E '^ +([0-9]+: |at )' "$log" | tail -n 60
    for input in "artifacts/$target"/*; do
      [ -f "$input" ] || continue
      printf '%s\n' "$input" && base64 "$input" | head -n 40
    done
  fi
  began=$(sed -n 's/.*INITED cov: \([0-9]*\).*/\1/p' "$log")
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
  line=$(printf '%-16s %-8s %12s %8s %8s %8s' "$target" "$result" "${executions:--}" "${speed:--}" \
    "${began:--}" "$(number "$log" cov)")
  printf '%s\n' "$line"
  table="$table
$line"
  rm -f "$log"
done

printf '\n%s\n' "$table"
exit "$failed"

#!/usr/bin/env bash
# Builds the core, its tests and every native/test/fuzz/fuzz_*.cc with ASan and UBSan in build/fuzz, and runs each fuzzer for
# some seconds.
#
#     scripts/fuzz.sh [seconds each, default 20; 0 builds alone] [targets, default all: json config ...]
#
# Needs CMake and clang++ with libFuzzer (CLANG names another one). Exits 1 when a target finds something; the input that
# shows it stays in build/fuzz as <target>-crash-..., and the program reproduces it: build/fuzz/fuzz_<target> <file>.
# build/fuzz/albert_test is the core's test program under the same sanitizers.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
shift || true
clang=${CLANG:-$(command -v clang++-14 || command -v clang++)}
out=build/fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in native/test/fuzz/fuzz_*.cc; do
    name=$(basename "$source" .cc)
    targets+=("${name#fuzz_}")
  done
fi

# Where the compiler is another one than before, CMake would forget the other options.
grep -qs "^CMAKE_CXX_COMPILER:.*=$clang\$" "$out/CMakeCache.txt" || rm -rf "$out/CMakeCache.txt" "$out/CMakeFiles"
cmake -S . -B "$out" -DALBERT_NODE=OFF -DALBERT_FUZZ=ON -DALBERT_SANITIZE=address,undefined -DCMAKE_CXX_COMPILER="$clang" \
  -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS="-O1 -g1"
cmake --build "$out" --parallel "$(nproc)"
[ "$seconds" = 0 ] && exit

failed=0
for target in "${targets[@]}"; do
  seeds=native/test/fuzz/corpus/$target
  mkdir -p "$out/corpus/$target" "$seeds"
  options=(-max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -print_final_stats=1
           -artifact_prefix="$out/$target-" -verbosity=0)
  [ -f "$seeds.dict" ] && options+=(-dict="$seeds.dict")
  echo "fuzz $target for $seconds s"
  if ! "$out/fuzz_$target" "${options[@]}" "$out/corpus/$target" "$seeds" > "$out/$target.log" 2>&1; then
    failed=1
    echo "FINDING in $target (log: $out/$target.log)"
    tail -40 "$out/$target.log"
  else
    grep -E 'number_of_executed_units|peak_rss_mb' "$out/$target.log" || true
  fi
done
exit $failed

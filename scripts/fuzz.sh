#!/usr/bin/env bash
# Builds every native/test/fuzz/fuzz_*.cc with ASan and UBSan and runs each for some seconds.
#
#     scripts/fuzz.sh [seconds each, default 20] [targets, default all: json config ...]
#
# Needs clang++ with libFuzzer (CLANG names another one). Exits 1 when a target finds something; the input that shows it
# stays in build/fuzz as <target>-crash-..., and the program reproduces it: build/fuzz/<target> <file>.
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

# The kernels are left out: no reader needs them, and they are most of the compile time.
mkdir -p "$out"
cat > "$out/Makefile" <<MAKE
CORE := $(node native/sources.cjs core | grep -v '^native/cpu/' | tr '\n' ' ')
OBJECTS := \$(CORE:%.cc=$out/%.o)
FLAGS := -std=c++17 -O1 -g -Inative -Wall -fno-omit-frame-pointer -fno-sanitize-recover=all
all: ${targets[*]/#/$out/}
$out/core.a: \$(OBJECTS)
	rm -f \$@ && ar rcs \$@ \$^
$out/%.o: %.cc
	@mkdir -p \$(dir \$@)
	$clang \$(FLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o \$@ \$<
${targets[*]/#/$out/}: $out/%: native/test/fuzz/fuzz_%.cc $out/core.a
	$clang \$(FLAGS) -fsanitize=fuzzer,address,undefined -o \$@ \$< $out/core.a -lpthread
-include \$(OBJECTS:.o=.d)
MAKE
make --silent -j"$(nproc)" -f "$out/Makefile" all

failed=0
for target in "${targets[@]}"; do
  seeds=native/test/fuzz/corpus/$target
  mkdir -p "$out/corpus/$target" "$seeds"
  options=(-max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=256 -timeout=10 -print_final_stats=1
           -artifact_prefix="$out/$target-" -verbosity=0)
  [ -f "$seeds.dict" ] && options+=(-dict="$seeds.dict")
  echo "fuzz $target for $seconds s"
  if ! "$out/$target" "${options[@]}" "$out/corpus/$target" "$seeds" > "$out/$target.log" 2>&1; then
    failed=1
    echo "FINDING in $target (log: $out/$target.log)"
    tail -40 "$out/$target.log"
  else
    grep -E 'number_of_executed_units|peak_rss_mb' "$out/$target.log" || true
  fi
done
exit $failed

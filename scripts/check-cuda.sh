#!/usr/bin/env bash
# Builds the addon with the CUDA backend, fails where the compiler warns, and names the kernels that keep registers in memory.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
rm -rf build/cuda
CUDAFLAGS=-Xptxas=-v npm run build:cuda >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
if grep -E '[Ww]arning' "$log"; then exit 1; fi
grep -B 2 -E '[1-9][0-9]* bytes spill' "$log" || true
echo "$(grep -c 'bytes spill' "$log") kernels compiled, $(grep -cE '[1-9][0-9]* bytes spill' "$log") of them spill"

#!/usr/bin/env bash
# Builds the addon with the CUDA backend, and fails where the compiler warns or a kernel keeps registers in memory.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
rm -rf build/cuda
CUDAFLAGS=-Xptxas=-v npm run build:cuda >"$log" 2>&1 || { tail -n 50 "$log"; exit 1; }
if grep -E '[Ww]arning' "$log"; then exit 1; fi
if grep -B 2 -E '[1-9][0-9]* bytes spill' "$log"; then exit 1; fi
kernels=$(grep -c 'bytes spill' "$log") # none would mean that nothing was checked
echo "$kernels kernels compiled, none spills"

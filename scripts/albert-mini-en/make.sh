#!/usr/bin/env bash
# Makes models/albert-mini-en again, from nothing: gathers free English text, trains a vocabulary and the model, and writes it
# in half precision. Needs spm_train (Debian: sentencepiece) and npm's and Debian's packages; continues where it was stopped.
#
#     scripts/albert-mini-en/make.sh [folder for texts and checkpoints, default build/albert-mini-en]
set -euo pipefail
cd "$(dirname "$0")/../.."

work=${1:-build/albert-mini-en}
recipe=scripts/albert-mini-en
sources=(gcide wordnet anarchism state-of-the-union world-english-bible jane-austen moby-dick jargon devils-dictionary
         foldoc fortunes dhammapada bash-guide rust debian-handbook)

mkdir -p "$work"
[ -d "$work/corpus" ] || node scripts/corpus.cjs "$work/corpus" "${sources[@]}"
[ -f "$work/spiece.model" ] ||
  node dist/cli/main.js vocab --input "$work/corpus" --size 8000 --output "$work/spiece.model"
node dist/cli/main.js pretrain --corpus "$work/corpus" --vocabulary "$work/spiece.model" \
  --config "$recipe/config.json" --cache "$work/cache" --output "$work/run" \
  --batch-size 32 --max-length 128 --dtype bf16 --optimizer lamb --learning-rate 0.004 --warmup-steps 200 --steps 6000 \
  --evaluate-every 250 --save-every 500 --seed 1
node "$recipe/ship.cjs" "$work/run" models/albert-mini-en
node dist/cli/main.js plot "$work/run/log.jsonl" --output models/albert-mini-en/curves.svg

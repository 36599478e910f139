#!/usr/bin/env bash
# Makes models/albert-mini-en again, from nothing: gathers free English text, trains a vocabulary and the model, and writes it
# in half precision. Needs spm_train (Debian: sentencepiece) and npm's and Debian's packages; continues where it was stopped.
#
#     scripts/albert-mini-en/make.sh [folder for texts and checkpoints, default build/albert-mini-en]
set -euo pipefail
cd "$(dirname "$0")/../.."

work=${1:-build/albert-mini-en}
recipe=scripts/albert-mini-en
model=models/albert-mini-en
sources=(gcide wordnet anarchism state-of-the-union world-english-bible jane-austen moby-dick jargon devils-dictionary
         foldoc fortunes dhammapada bash-guide rust debian-handbook)
manuals=(debian-history debian-reference debian-faq debian-policy debian-edu developers-reference installation-guide
         freedombox kernel postgresql python perl django sqlalchemy git apache exim gimp libreoffice gnome gnome-devel
         gnucash manpages endless-sky wesnoth stellarium crawl racket erlang copyright-does-not-exist r-manuals octave
         lilypond csound povray wireshark bacula grass kicad ghc)

mkdir -p "$work"
[ -d "$work/corpus" ] || node scripts/corpus.cjs "$work/corpus" "${sources[@]}"
[ -d "$work/manuals" ] || node scripts/corpus.cjs "$work/manuals" "${manuals[@]}"
[ -f "$work/spiece.model" ] ||
  node dist/cli/main.js vocab --input "$work/corpus" --size 8000 --output "$work/spiece.model"
[ -d "$work/initial" ] || node "$recipe/initial.cjs" "$recipe/config.json" "$work/spiece.model" "$work/initial" 3
node "$recipe/pretrain.cjs" "$work"
weights=model.safetensors # of the last stage two parts, and one of those it started from
node "$recipe/average.cjs" "$work/long" "$work/mean" "$work/lengthened/$weights" "$work/long/$weights" "$work/long/$weights"
node "$recipe/ship.cjs" "$work/mean" "$model"
node "$recipe/measure.cjs" "$work" "$model"
node dist/cli/main.js plot "$work/shallow/log.jsonl" "$work/deep/log.jsonl" "$work/longer/log.jsonl" --output "$model/curves.svg"
for stage in grouped long; do
  node dist/cli/main.js plot "$work/$stage/log.jsonl" --output "$model/curves-$stage.svg"
done

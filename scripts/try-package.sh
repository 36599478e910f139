#!/usr/bin/env bash
# Packs the package, installs the tarball into an empty application, and uses it from CommonJS, ESM and the command line.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

npm pack --silent --pack-destination "$folder" >/dev/null
mkdir "$folder/app"
cd "$folder/app"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --silent ../albert-native-*.tgz

installed=node_modules/albert-native
[ ! -d "$installed/build" ] || { echo "expected the prebuilt binary to be used but something was compiled"; exit 1; }
cat > program.cjs <<'JS'
const { Albert, version } = require('albert-native');
const config = { hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 64, vocab_size: 50, embedding_size: 8 };
(async () => {
  const model = await Albert.create(config, { head: 'base', seed: 1 });
  const { last_hidden_state } = await model.forward({ input_ids: [[2, 7, 3]] });
  console.log(version(), last_hidden_state.dims.join('x'));
  await model.dispose();
})();
JS
node program.cjs | tee output
grep -q '1x3x32' output
echo "import { Albert, pipeline } from 'albert-native'; console.log(typeof Albert.load, typeof pipeline);" > program.mjs
node program.mjs | tee output
grep -q 'function function' output
npx --no-install albert info tiny | head -n 3
npx --no-install albert fill-mask 'The people of the United [MASK].' | tee output
grep -q 'states' output

# Without any binary the error says what to type.
rm -rf "$installed/prebuilds"
if node program.cjs 2> output; then echo "expected a load error without a binary"; exit 1; fi
grep -q 'npm rebuild albert-native' output
echo "the packed tarball works in an empty application"

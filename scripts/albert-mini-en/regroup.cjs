// Gives groups of layers weights of their own, which start as copies of those that all layers have shared, so that training
// goes on from the same outputs.
'use strict';
const { copyFileSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs');
const path = require('node:path');
const { readTensors, writeTensors } = require('./safetensors.cjs');

const GROUP = 'albert_layer_groups.0.';

/** Writes the model of a folder, whose layers share one block, with so many groups. Its configuration comes last. */
function regroup(model, groups, output) {
  const config = JSON.parse(readFileSync(path.join(model, 'config.json'), 'utf8'));
  if (config.num_hidden_groups !== 1 || !(groups > 1) || config.num_hidden_layers % groups !== 0)
    throw new Error(
      `expected a model whose layers share one block, and groups that ${config.num_hidden_layers} layers divide into`,
    );

  const tensors = readTensors(path.join(model, 'model.safetensors'));
  for (const [name, tensor] of Object.entries(tensors))
    if (name.includes(GROUP))
      for (let group = 1; group < groups; group++)
        tensors[name.replace(GROUP, `albert_layer_groups.${group}.`)] = tensor;

  mkdirSync(output, { recursive: true });
  writeTensors(path.join(output, 'model.safetensors'), tensors);
  copyFileSync(path.join(model, 'spiece.model'), path.join(output, 'spiece.model'));
  writeFileSync(
    path.join(output, 'config.json'),
    `${JSON.stringify({ ...config, num_hidden_groups: groups }, null, 2)}\n`,
  );
}

module.exports = { regroup };

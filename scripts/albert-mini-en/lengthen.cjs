// Gives a model trained on short text positions to go on with for long text, where it has those it started with: the linear map
// that takes initial positions closest to trained ones (ridge regression) takes the others with it.
'use strict';
const { copyFileSync, mkdirSync } = require('node:fs');
const path = require('node:path');
const { readTensors, writeTensors } = require('./safetensors.cjs');

const POSITIONS = 'position_embeddings.weight';
const RIDGE = 1e-3; // initial positions have norms of about 0.1

/** X [n, n] and Y [n, m], rows of numbers, become the solution of X Z = Y by Gauss and Jordan; X is positive definite. */
function solve(X, Y) {
  X.forEach((pivotRow, pivot) => {
    X.forEach((row, r) => {
      if (r === pivot) return;
      const factor = row[pivot] / pivotRow[pivot];
      for (let c = pivot; c < row.length; c++) row[c] -= factor * pivotRow[c];
      Y[pivot].forEach((y, c) => (Y[r][c] -= factor * y));
    });
  });
  return Y.map((row, r) => row.map((y) => y / X[r][r]));
}

/** Writes the model of a folder with all positions beyond the first `trained` anew; `initial` is the folder it started from. */
function lengthen(model, initial, trained, output) {
  const weights = 'model.safetensors';
  const tensors = readTensors(path.join(model, weights));
  const [name, { shape, values }] = Object.entries(tensors).find(([key]) => key.endsWith(POSITIONS));
  const [positions, E] = shape;
  const rowsOf = (all) => Array.from({ length: positions }, (_, p) => all.subarray(p * E, (p + 1) * E));
  const from = rowsOf(readTensors(path.join(initial, weights))[name].values);
  const to = rowsOf(values);

  const product = (rows) =>
    Array.from({ length: E }, (_, i) =>
      Array.from({ length: E }, (__, j) => {
        let sum = 0;
        for (let p = 0; p < trained; p++) sum += from[p][i] * rows[p][j];
        return sum;
      }),
    );
  const covariance = product(from);
  covariance.forEach((row, i) => (row[i] += RIDGE));
  const map = solve(covariance, product(to));
  for (let p = trained; p < positions; p++)
    to[p].forEach((_, j) => (to[p][j] = from[p].reduce((sum, x, i) => sum + x * map[i][j], 0)));

  mkdirSync(output, { recursive: true });
  writeTensors(path.join(output, weights), tensors);
  for (const file of ['spiece.model', 'config.json'])
    copyFileSync(path.join(model, file), path.join(output, file));
}

module.exports = { lengthen };

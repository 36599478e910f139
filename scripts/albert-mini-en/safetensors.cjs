// Reads and writes safetensors files: whole, as the tensors of a small model are.
'use strict';
const { Buffer } = require('node:buffer');
const { readFileSync, writeFileSync } = require('node:fs');

/** The tensors of a file of 32-bit floats: { shape, values } by name. */
function readTensors(file) {
  const bytes = readFileSync(file);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(
    JSON.parse(bytes.toString('utf8', 8, start)),
  )) {
    if (name === '__metadata__') continue;
    if (dtype !== 'F32') throw new Error(`expected tensors of F32 in ${file} but found ${name} of ${dtype}`);
    const [from, to] = data_offsets.map((offset) => start + offset);
    tensors[name] = { shape, values: new Float32Array(Uint8Array.from(bytes.subarray(from, to)).buffer) };
  }
  return tensors;
}

/** Writes such tensors. */
function writeTensors(file, tensors) {
  const header = { __metadata__: { format: 'pt' } };
  const parts = [];
  let end = 0;
  for (const [name, { shape, values }] of Object.entries(tensors)) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    parts.push(Buffer.from(values.buffer));
    end += values.byteLength;
  }
  const text = JSON.stringify(header);
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8)); // names are ASCII
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeFileSync(file, Buffer.concat([length, padded, ...parts]));
}

module.exports = { readTensors, writeTensors };

/** Writes TFRecord files of tf.train.Example; independent of the reader it helps to test. */

/** Bit by bit, as RFC 3720 defines it. */
function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

function checksum(data: Uint8Array): Buffer {
  const crc = crc32c(data);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE((((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return bytes;
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value = Math.floor(value / 128)) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** A field that holds bytes. */
function field(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(content.length), content]);
}

function feature(values: number[] | Float32Array): Buffer {
  if (values instanceof Float32Array) return field(2, field(1, Buffer.from(values.buffer)));
  return field(3, field(1, Buffer.concat(values.map(varint))));
}

export function writeRecords(examples: Record<string, number[] | Float32Array>[]): Buffer {
  const records = examples.map((example) => {
    const entries = Object.entries(example).map(([name, values]) =>
      field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, feature(values))])),
    );
    const data = field(1, Buffer.concat(entries));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(data.length));
    return Buffer.concat([length, checksum(length), data, checksum(data)]);
  });
  return Buffer.concat(records);
}

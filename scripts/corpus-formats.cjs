// Readers of the formats that corpus.cjs meets: each takes a file and returns documents, a document being a list of paragraphs.
'use strict';
const fs = require('fs');
const zlib = require('zlib');

function read(file) {
  const bytes = fs.readFileSync(file);
  return bytes[0] === 0x1f && bytes[1] === 0x8b ? zlib.gunzipSync(bytes) : bytes;
}

const ENTITIES = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  mdash: '\u2014',
  ndash: '\u2013',
  hellip: '...',
  lsquo: "'",
  rsquo: "'",
  ldquo: '"',
  rdquo: '"',
};

function unescape(text) {
  return text.replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, (entity, name) => {
    if (name[0] !== '#') return ENTITIES[name] ?? ' ';
    const code = /^#x/i.test(name) ? parseInt(name.slice(2), 16) : parseInt(name.slice(1), 10);
    return code > 31 && code < 0x110000 ? String.fromCodePoint(code) : ' ';
  });
}

const SKIPPED =
  'script|style|pre|table|nav|footer|head|svg|math|programlisting|screen|literallayout|synopsis|code-block|title|h[1-6]';
const BLOCKS =
  /<\/?(p|para|div|li|dd|dt|ul|ol|br|hr|blockquote|section|sect\d|listitem|item|note|body|simpara|td|term|desc)\b[^>]*>/gi;

function html(file) {
  const text = read(file)
    .toString('utf8')
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(new RegExp(`<(${SKIPPED})\\b[^>]*>[\\s\\S]*?</\\1\\s*>`, 'gi'), '\n\n');
  return [plain(unescape(text.replace(BLOCKS, '\ue000').replace(/<[^>]*>/g, '')), /\ue000/)];
}

function plain(text, separator) {
  return text.split(separator).filter((paragraph) => paragraph.trim() !== '');
}

/** Wrapped lines, paragraphs between blank lines. */
function text(file) {
  return [
    plain(
      read(file)
        .toString('utf8')
        .replace(/\r/g, '')
        .replace(/_([^_\n]+)_/g, '$1'),
      /\n\s*\n/,
    ),
  ];
}

// Neighbours in the order of a dictionary are often of one family of words, and an entry alone is too short a document.
const ENTRIES_PER_DOCUMENT = 20;

function grouped(entries) {
  const documents = [];
  for (let i = 0; i < entries.length; i += ENTRIES_PER_DOCUMENT)
    documents.push(entries.slice(i, i + ENTRIES_PER_DOCUMENT).flat());
  return documents;
}

/** dictd: an index of headwords with offsets would only cut what the layout shows: an entry starts at the left margin. */
function dict(file) {
  const cleaned = read(file)
    .toString('utf8')
    .replace(/[{}]/g, '')
    .replace(/\[[^\]]{0,80}\]|\\[^\\\n]{0,60}\\/g, '')
    .replace(/\u2014|--/g, ' - ');
  const entries = cleaned
    .split(/\n(?=\S)/)
    .map((entry) =>
      plain(entry.replace(/^.*\n/, ''), /\n\s*\n/).map((paragraph) =>
        paragraph.replace(/^\s*(\d+\.|\([a-z]\))\s*/, ''),
      ),
    );
  return grouped(entries);
}

/** Glosses with their examples; the file orders them by topic. */
function wordnet(file) {
  const glosses = read(file)
    .toString('utf8')
    .split('\n')
    .filter((line) => /^\d{8} /.test(line))
    .map((line) => {
      const words = Array.from(
        line.split('|')[0].matchAll(/ ([A-Za-z][A-Za-z_'-]*) [0-9a-f] /g),
        (match) => match[1],
      );
      const [gloss, ...examples] = line
        .split('| ')[1]
        .trim()
        .split(/; (?=")/);
      const definition = `${(words[0] ?? '').replaceAll('_', ' ')} is ${gloss}.`;
      const shown = examples.map((example) => example.replace(/"/g, '').trim());
      return [definition, ...shown.map((example) => (/[.!?]$/.test(example) ? example : `${example}.`))];
    });
  return grouped(glosses);
}

/** Sayings between lines of one percent sign. */
function fortune(file) {
  return plain(read(file).toString('utf8'), /\n%+\n/).map((saying) => [saying]);
}

/** Dialogue and descriptions, the quoted strings of game data; markup inside them goes. */
function game(file) {
  const content = read(file)
    .toString('utf8')
    .replace(/^\s*(#|--(?!\[)).*$/gm, '');
  const strings = Array.from(
    content.matchAll(/`([^`]*)`|\[\[([\s\S]*?)\]\]|"((?:[^"\\]|""|\\[\s\S])*)"/g),
    (match) =>
      (match[1] ?? match[2] ?? match[3])
        .replace(/\\n/g, ' ')
        .replaceAll('\\"', '"')
        .replaceAll('""', '"')
        .replace(/<[^<>]*>/g, ''),
  );
  return [strings.filter((string) => string.length >= 30)];
}

/** R's lazy-load database: values one after another, each a length and a zlib stream of the serialised form. */
function rdata(file) {
  const bytes = fs.readFileSync(file);
  const documents = [];
  for (let at = 0; at + 4 < bytes.length;) {
    const { buffer, engine } = zlib.inflateSync(bytes.subarray(at + 4), { info: true });
    at += 4 + engine.bytesWritten;
    documents.push(...chapters(serializedStrings(buffer).join('\n')));
  }
  return documents;
}

/** Strings of serialised data (R Internals, section 1.8): a type word of 9, a length, the bytes. Blank lines stay. */
function serializedStrings(data) {
  const lines = [];
  for (let at = 0; at + 8 <= data.length;) {
    const length = data.readInt32BE(at + 4);
    const found = data[at] === 0 && data[at + 3] === 9 && length >= 0 && at + 8 + length <= data.length;
    if (found) lines.push(data.toString('utf8', at + 8, at + 8 + length));
    at += found ? 8 + length : 1;
  }
  return lines;
}

function chapters(book) {
  return book.split(/\n(?=chapter )/i).map((chapter) => plain(chapter, /\n\s*\n/));
}

/** A compressed SWORD module: the .bzs file beside it lists offset, size and full size of each block, a book or chapter. */
function sword(file) {
  const data = fs.readFileSync(file);
  const index = fs.readFileSync(file.replace(/z$/, 's'));
  const documents = [];
  for (let at = 0; at + 12 <= index.length; at += 12) {
    const [offset, size] = [index.readUInt32LE(at), index.readUInt32LE(at + 4)];
    if (size === 0) continue;
    const block = zlib.inflateSync(data.subarray(offset, offset + size)).toString('utf8');
    const clean = block
      .replace(/<(note|title)\b[\s\S]*?<\/\1>/g, '')
      .replace(/<chapter\b[^>]*>/g, '\ue000')
      .replace(/<[^>]*>/g, ' ');
    for (const chapter of clean.split('\ue000'))
      documents.push([
        unescape(chapter)
          .replace(/\u00b6/g, '')
          .replace(/ +([,.;:?!])/g, '$1'),
      ]);
  }
  return documents;
}

function pod(file) {
  return [
    plain(
      read(file)
        .toString('utf8')
        .replace(/[A-Z]<+\s?([^<>]*?)\s?>+/g, '$1'),
      /\n\s*\n/,
    ).filter((p) => !/^[=\s]/.test(p)),
  ];
}

function man(file) {
  const body = read(file)
    .toString('utf8')
    .replace(/^\.(EX|nf)[\s\S]*?^\.(EE|fi).*$/gm, '');
  const clean = body
    .replace(/^\.(PP|P|LP|TP|IP|SH|SS|RS|RE)\b.*$/gm, '\ue000')
    .replace(/^\.(BR|B|I|IR|RB|RI|BI) +/gm, '')
    .replace(/^[.'].*$/gm, '')
    .replace(/\\f[A-Z]|\\[&c]/g, '')
    .replace(/\\-/g, '-')
    .replace(/\\\(aq/g, "'");
  return [plain(clean, /\ue000|\n\s*\n/)];
}

module.exports = { html, text, dict, wordnet, fortune, game, rdata, sword, pod, man };

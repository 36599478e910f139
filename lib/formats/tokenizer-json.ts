/** Writes tokenizer.json for vocabularies that come as spiece.model or vocab.txt, for libraries that read nothing else. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { TokenizerFiles } from '../source';
import type { Tokenizer } from '../tokenizer';
import { messages } from './protobuf';

// Source: sentencepiece_model.proto of the SentencePiece project.
const sentencepiece = messages({
  ModelProto: { pieces: ['repeated', 'Piece', 1], normalizer: ['Normalizer', 3] },
  Piece: { piece: ['string', 1], score: ['float', 2], type: ['int32', 3] },
  Normalizer: { charsmap: ['bytes', 2], addDummyPrefix: ['bool', 3] },
});
interface SentencePiece {
  pieces: { piece: string; score: number; type: number }[];
  normalizer: { charsmap?: Uint8Array; addDummyPrefix?: boolean } | null;
}

const UNKNOWN = 2;
// What the converters of Hugging Face take from the score of a piece such as '▁92,': ALBERT splits numbers from commas.
const NUMBER_PENALTY = 100;

interface AddedToken {
  content: string;
  lstrip?: boolean;
  rstrip?: boolean;
  single_word?: boolean;
  special?: boolean;
}

interface Flags {
  added_tokens_decoder?: Record<string, AddedToken>;
  additional_special_tokens?: (string | AddedToken)[] | null;
  do_lower_case?: boolean;
  keep_accents?: boolean;
  strip_accents?: boolean | null;
  tokenize_chinese_chars?: boolean;
}

const ROLES = ['pad', 'unk', 'cls', 'sep', 'mask'] as const;

/** Names of the special tokens, as tokenizer_config.json calls them. */
export function specialTokens(tokenizer: Tokenizer): Record<string, string> {
  const named = ROLES.filter((role) => tokenizer.specialTokens[role] >= 0).map((role) => [
    `${role}_token`,
    tokenizer.idToToken(tokenizer.specialTokens[role]),
  ]);
  return Object.fromEntries(named) as Record<string, string>;
}

/**
 * The special tokens, and what was added to the vocabulary.
 * @param symbols ids below it are pieces of a SentencePiece model, which stay so unless they are special.
 */
function addedTokens(tokenizer: Tokenizer, settings: Flags[], symbols: number): object[] {
  const roles = ROLES.filter((role) => tokenizer.specialTokens[role] >= 0).map((role): AddedToken => ({
    content: tokenizer.idToToken(tokenizer.specialTokens[role]),
    lstrip: role === 'mask' && symbols > 0,
  }));
  const others = settings.flatMap(({ added_tokens_decoder, additional_special_tokens }) => [
    ...Object.values(added_tokens_decoder ?? {}),
    ...(additional_special_tokens ?? []).map((token) =>
      typeof token === 'string' ? { content: token } : token,
    ),
  ]);
  const tokens = new Map<number, object>();
  for (const { content, lstrip, rstrip, single_word, special } of [...roles, ...others]) {
    const id = tokenizer.tokenToId(content);
    if (id < 0 || tokens.has(id) || (special === false && id < symbols)) continue;
    tokens.set(id, {
      id,
      content,
      single_word: single_word ?? false,
      lstrip: lstrip ?? false,
      rstrip: rstrip ?? false,
      normalized: false,
      special: special ?? true,
    });
  }
  return [...tokens].sort(([a], [b]) => a - b).map(([, token]) => token);
}

/** [CLS] A [SEP] and [CLS] A [SEP] B [SEP], with types 0 and 1. */
function template(tokenizer: Tokenizer): object {
  const token = (role: 'cls' | 'sep') => tokenizer.idToToken(tokenizer.specialTokens[role]);
  const special = (role: 'cls' | 'sep', type_id: number) => ({ SpecialToken: { id: token(role), type_id } });
  const single = [special('cls', 0), { Sequence: { id: 'A', type_id: 0 } }, special('sep', 0)];
  const described = (['cls', 'sep'] as const).map((role) => [
    token(role),
    { id: token(role), ids: [tokenizer.specialTokens[role]], tokens: [token(role)] },
  ]);
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, { Sequence: { id: 'B', type_id: 1 } }, special('sep', 1)],
    special_tokens: Object.fromEntries(described) as object,
  };
}

function replace(pattern: object, content: string): object {
  return { type: 'Replace', pattern, content };
}

async function unigram(file: string, flags: Flags) {
  const type = await sentencepiece('ModelProto');
  const { pieces, normalizer } = type.decode(await readFile(file)) as unknown as SentencePiece;
  const prefix = normalizer?.addDummyPrefix ?? true;
  const charsmap = normalizer?.charsmap ?? new Uint8Array();
  const metaspace = {
    type: 'Metaspace',
    replacement: '▁',
    prepend_scheme: prefix ? 'always' : 'never',
    split: true,
  };
  const normalizers = [
    replace({ String: '``' }, '"'),
    replace({ String: "''" }, '"'),
    ...(flags.keep_accents ? [] : [{ type: 'NFKD' }, { type: 'StripAccents' }]),
    ...((flags.do_lower_case ?? true) ? [{ type: 'Lowercase' }] : []),
    ...(charsmap.length
      ? [{ type: 'Precompiled', precompiled_charsmap: Buffer.from(charsmap).toString('base64') }]
      : []),
    replace({ Regex: ' {2,}' }, ' '),
  ];
  // Words are split first, so that spaces at the end leave no piece behind, as in SentencePiece.
  const steps = prefix ? [{ type: 'WhitespaceSplit' }, metaspace] : [metaspace];
  return {
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: { type: 'Sequence', pretokenizers: steps },
    decoder: metaspace,
    model: {
      type: 'Unigram',
      unk_id: pieces.findIndex((piece) => piece.type === UNKNOWN),
      vocab: pieces.map(({ piece, score }) => [
        piece,
        /[0-9],$/.test(piece) ? score - NUMBER_PENALTY : score,
      ]),
      byte_fallback: false,
    },
  };
}

async function wordpiece(file: string, flags: Flags, unknown: string) {
  const lines = (await readFile(file, 'utf8')).replace(/\r?\n$/, '').split(/\r?\n/);
  return {
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: flags.tokenize_chinese_chars ?? true,
      strip_accents: flags.strip_accents ?? null,
      lowercase: flags.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unknown,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 200,
      vocab: Object.fromEntries(lines.map((piece, id) => [piece, id])),
    },
  };
}

/** The text of a tokenizer.json for a vocabulary in another form, in the layout of Hugging Face's converters. */
export async function tokenizerJson(files: TokenizerFiles, tokenizer: Tokenizer): Promise<string> {
  const [flags, named] = [files.tokenizerConfig, files.specialTokens].map(
    (text) => JSON.parse(text || '{}') as Flags,
  );
  const isUnigram = path.extname(files.vocabulary) === '.model';
  const unknown = specialTokens(tokenizer).unk_token;
  const parts = await (isUnigram
    ? unigram(files.vocabulary, flags)
    : wordpiece(files.vocabulary, flags, unknown));
  const { vocab } = parts.model;
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(tokenizer, [flags, named], Array.isArray(vocab) ? vocab.length : 0),
    post_processor: template(tokenizer),
    ...parts,
  });
}

/** Checks of what callers pass, all in one phrasing: expected X for Y but received Z. */
import { AlbertError } from './errors';

const shortened = (text: string) => (text.length > 60 ? `${text.slice(0, 57)}...` : text);

/** A value as error messages show it: short, with its type. */
export function show(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'string') return `'${shortened(value)}'`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (ArrayBuffer.isView(value)) return `a ${Object.prototype.toString.call(value).slice(8, -1)}`;
  if (Object.prototype.toString.call(value) === '[object Object]') {
    const names = Object.keys(value).join(', ');
    return names === '' ? 'an object without fields' : `an object with ${shortened(names)}`;
  }
  const plain = typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean';
  return plain ? `${value} of type ${typeof value}` : `a value of type ${typeof value}`;
}

/** The error for an argument that is not what it should be. */
export function invalid(expected: string, subject: string, received: unknown): AlbertError {
  return new AlbertError(
    'INVALID_ARGUMENT',
    `expected ${expected} for ${subject} but received ${show(received)}`,
  );
}

/** Whether a value is an object of fields: no array and not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A value as JSON. @throws AlbertError INVALID_ARGUMENT for one that JSON cannot say, such as a cycle. */
export function jsonOf(subject: string, value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    throw invalid('a JSON value', subject, value);
  }
}

/** The names of an interface's fields: the compiler refuses a list that lacks one. */
export type Names<T> = { readonly [K in keyof T]-?: true };

/** Names less some of them. */
export function without<T extends object, K extends keyof T & string>(names: T, ...left: K[]): Omit<T, K> {
  const kept = Object.entries(names).filter(([name]) => !(left as string[]).includes(name));
  return Object.fromEntries(kept) as Omit<T, K>;
}

/** @throws AlbertError INVALID_ARGUMENT for a field that is none of `names`, which a slip of the pen would leave without effect. */
export function checkNames<T extends object>(subject: string, value: T, names: Names<T>): void {
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined || Object.hasOwn(names, name)) continue;
    const known = Object.keys(names).map((one) => `'${one}'`);
    throw new AlbertError(
      'INVALID_ARGUMENT',
      `expected one of ${known.join(', ')} in ${subject} but received '${name}'`,
    );
  }
}

/** An options object with no other fields than `names`; undefined counts as an empty one. */
export function optionsObject<T extends object>(
  subject: string,
  value: T | undefined | null,
  names: Names<T>,
): Partial<T> {
  if (value === undefined || value === null) return {};
  if (!isObject(value)) throw invalid('an object', subject, value);
  checkNames(subject, value, names);
  return value;
}

/** The named fields of an object, without those that are undefined. */
export function pick<T extends object, K extends keyof T>(
  object: T,
  names: { readonly [name in K]: true },
): Partial<Pick<T, K>> {
  const present = (Object.keys(names) as K[]).filter((name) => object[name] !== undefined);
  return Object.fromEntries(present.map((name) => [name, object[name]])) as Partial<Pick<T, K>>;
}

interface Range {
  min?: number;
  max?: number;
}

function inRange(value: number, { min = -Infinity, max = Infinity }: Range): boolean {
  return value >= min && value <= max;
}

function withRange(kind: string, { min, max }: Range): string {
  if (min === undefined) return kind;
  return max === undefined ? `${kind} of at least ${min}` : `${kind} from ${min} to ${max}`;
}

/** A whole number that is exact as a double; without a fallback it must be given. */
export function integer(subject: string, value: unknown, range: Range, fallback?: number): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (!Number.isSafeInteger(value) || !inRange(value as number, range))
    throw invalid(withRange('an integer', range), subject, value);
  return value as number;
}

/** A finite number; without a fallback it must be given. */
export function number(subject: string, value: unknown, range: Range, fallback?: number): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (!Number.isFinite(value) || !inRange(value as number, range))
    throw invalid(withRange('a number', range), subject, value);
  return value as number;
}

export function boolean(subject: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value !== 'boolean') throw invalid('true or false', subject, value);
  return value;
}

export function oneOf<T extends string, F extends T | null>(
  subject: string,
  value: unknown,
  choices: readonly T[],
  fallback: F,
): T | F {
  if (value === undefined) return fallback;
  if (!choices.includes(value as T)) {
    throw invalid(`one of ${choices.map((choice) => `'${choice}'`).join(', ')}`, subject, value);
  }
  return value as T;
}

export function string(subject: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid('a string', subject, value);
  return value;
}

/** A path. Nothing is none, and not the working directory: an unset variable of a shell is what usually says so. */
export function pathString(subject: string, value: unknown): string {
  if (string(subject, value) === '') throw invalid('a path', subject, value);
  return value as string;
}

/** A non-empty array of strings. */
export function strings(subject: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length === 0)
    throw invalid('a non-empty array of strings', subject, value);
  return Array.from(value, (entry, i) => string(`${subject}[${i}]`, entry));
}

/** An AbortSignal, recognised by its shape so that other realms' signals pass. */
export function abortSignal(value: unknown): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  const signal = value as AbortSignal;
  const listens =
    typeof value === 'object' && 'aborted' in value && typeof signal.addEventListener === 'function';
  if (!listens || typeof signal.removeEventListener !== 'function')
    throw invalid('an AbortSignal', 'signal', value);
  return signal;
}

/** @throws AlbertError INVALID_ARGUMENT for what is given and cannot be called. */
export function callback(subject: string, value: unknown): void {
  if (value != null && typeof value !== 'function') throw invalid('a function', subject, value);
}

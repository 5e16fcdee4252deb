import { en } from './en';

/**
 * All text of the page. A message is a sentence with `{names}`, or an object of plural forms (Unicode's
 * categories), of which `{n}` picks one. A further language is a file beside en.ts of the same shape.
 */
export type Plural = { one: string; other: string };
type Leaf = string | Plural;
type Keys<T> = { [K in keyof T & string]: T[K] extends Leaf ? K : `${K}.${Keys<T[K]>}` }[keyof T & string];
export type MessageKey = Keys<typeof en>;
export type Values = Record<string, string | number>;

export const locale = 'en';
const plurals = new Intl.PluralRules(locale);
const numbers = new Intl.NumberFormat(locale);

function find(key: string): Leaf {
  let at: unknown = en;
  for (const part of key.split('.')) at = at instanceof Object && Object.hasOwn(at, part) ? (at as Record<string, unknown>)[part] : undefined;
  if (at === undefined) throw new Error(`no message ${key}`);
  return at as Leaf;
}

export function has(key: string): key is MessageKey {
  try {
    const found = find(key);
    return typeof found === 'string' || (typeof found.one === 'string' && typeof found.other === 'string');
  } catch {
    return false;
  }
}

/** The text of a message. A value that is missing shows as its name in braces, never as nothing. */
export function t(key: MessageKey, values: Values = {}): string {
  return pieces(key, values).map((piece) => piece.text).join('');
}

/** A part of a message: words of its own, or the value of `name`. */
export interface Piece {
  text: string;
  name: string;
}

/** The text of a message in parts, so that values can be set off from the words around them. */
export function pieces(key: MessageKey, values: Values = {}): Piece[] {
  let text = find(key);
  if (typeof text !== 'string') {
    const form = plurals.select(Number(values.n)) as keyof Plural;
    text = text[form] ?? text.other;
  }
  return text
    .split(/(\{\w+\})/)
    .filter(Boolean)
    .map((part) => {
      const name = /^\{(\w+)\}$/.exec(part)?.[1] ?? '';
      const value = name ? values[name] : undefined;
      if (value === undefined) return { text: part, name: '' };
      return { text: typeof value === 'number' ? numbers.format(value) : value, name };
    });
}

import { bytesOf, concat, textOf, unsigned, type Bytes } from './bytes';
import { slots, typeOf, type EventType, type Field, type Slot } from './types';

/** Leaves, and the openings that they commit to (docs/spec/audit.md, section 3). */

export const leafSize = 108;
const headerSize = 12;
const saltSize = 32;
const maxFields = 65_536;
const endOfTime = 253_402_300_799_999;

export interface Leaf {
  bytes: Bytes;
  type: number;
  version: number;
  /** Milliseconds since 1970. */
  time: number;
}

/** Null where these bytes are no leaf. */
export function parseLeaf(bytes: Bytes): Leaf | null {
  if (bytes.length !== leafSize || bytes[0] !== 1) return null;
  const leaf = { bytes, type: unsigned(bytes.subarray(1, 3)), version: bytes[3]!, time: unsigned(bytes.subarray(4, 12)) };
  return leaf.type > 0 && leaf.version > 0 && leaf.time <= endOfTime ? leaf : null;
}

export type Values = Record<string, string | number | boolean | number[]>;

/** A leaf and, of each slot, what its commitment was made from; nothing where the holder is not shown it. */
export interface Record3 {
  leaf: Leaf;
  openings: Record<Slot, Bytes | null>;
}

/** What is to be said of one slot. `missing` was there once, or is not shown. */
export type SlotState = 'fits' | 'wrong' | 'empty' | 'missing' | 'not-shown';

export interface Opened {
  states: Record<Slot, SlotState>;
  /** The event's own type; undefined where this page does not know it, and can therefore not read the fields. */
  type: EventType | undefined;
  values: Partial<Record<Slot, Values>>;
  /** Something fits, and is none of what such an event may say. */
  unreadable: boolean;
}

/** Whether an opening is what the leaf commits to. The browser compares in constant time. */
export async function fits(leaf: Leaf, slot: Slot, opening: Bytes): Promise<boolean> {
  const at = headerSize + 32 * slots.indexOf(slot);
  const salt = await crypto.subtle.importKey('raw', opening.slice(0, saltSize), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  const message = concat(bytesOf(`stonevault.v1/audit/${slot}`), leaf.bytes.subarray(0, headerSize), opening.subarray(saltSize));
  return crypto.subtle.verify('HMAC', salt, leaf.bytes.slice(at, at + 32), message);
}

/** Compares every opening with the leaf, and reads those that fit. */
export async function open({ leaf, openings }: Record3): Promise<Opened> {
  const type = typeOf(leaf.type, leaf.version);
  const opened: Opened = { states: { operational: 'not-shown', actor: 'not-shown', subject: 'not-shown' }, type, values: {}, unreadable: false };
  let filled: number | null = null;
  for (const slot of slots) {
    const opening = openings[slot];
    const prefix = saltSize + (slot === 'operational' ? 1 : 0);
    if (opening === null) {
      if (filled !== null) opened.states[slot] = has(filled, slot) ? 'missing' : 'empty';
      continue;
    }
    if (opening.length < prefix || !(await fits(leaf, slot, opening))) {
      opened.states[slot] = 'wrong';
      continue;
    }
    opened.states[slot] = 'fits';
    if (slot === 'operational') filled = opening[saltSize]!;
    else if (filled !== null && !has(filled, slot)) opened.unreadable = true;
    if (!type) continue;
    const values = readFields(type.fields[slot], opening.subarray(prefix), slot === 'operational');
    if (values) opened.values[slot] = values;
    else opened.unreadable = true;
  }
  if (filled !== null && filled > 3) opened.unreadable = true;
  return opened;
}

function has(filled: number, slot: Slot): boolean {
  return slot === 'actor' ? filled % 2 === 1 : filled > 1;
}

/** Reads fields in the one form that they may have; null where they are in another, or are not the type's. */
function readFields(fields: Field[] | null, bytes: Uint8Array, operational: boolean): Values | null {
  if (!fields && !operational) return null; // such a slot is always empty
  const text = bytes.length <= maxFields ? textOf(bytes) : null;
  if (text === null) return null;
  let values: unknown;
  try {
    values = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof values !== 'object' || values === null || Array.isArray(values)) return null;
  const given = values as Values;
  const names = Object.keys(given);
  if (names.length !== (fields ?? []).length || canonical(given) !== text) return null;
  return (fields ?? []).every((field) => Object.hasOwn(given, field.name) && allowed(field, given[field.name])) ? given : null;
}

const count = (value: unknown): value is number => typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= Number.MAX_SAFE_INTEGER;

function allowed(field: Field, value: unknown): boolean {
  switch (field.kind) {
    case 'count':
      return count(value);
    case 'flag':
      return typeof value === 'boolean';
    case 'parts':
      return Array.isArray(value) && value.length >= 1 && value.length <= 4000 && value.every((part, i) => count(part) && part < 2 ** 49 - 2 && (i === 0 || part > (value[i - 1] as number)));
    case 'text':
      if (typeof value !== 'string' || /\p{Surrogate}/u.test(value)) return false;
      return field.among ? field.among.includes(value) : bytesOf(value).length <= field.max;
  }
}

/** RFC 8785. JavaScript's own way of writing strings and numbers is the one that it asks for. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`;
}

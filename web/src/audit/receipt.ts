import { decimal, equal, fromBase64, textOf, unsigned, type Bytes } from './bytes';
import { checkSignature, parseCheckpoint, type Checkpoint, type LogKey, type SignatureState } from './checkpoint';
import { canonical, leafSize, open, parseLeaf, type Opened, type Record3 } from './record';
import { climb, leafHash, type Step } from './tree';
import { slots, types, type Slot } from './types';

/** Receipts: an event, its path to the root and the signed head (docs/spec/audit.md, section 6). */

const maxReceipt = 278_528;
const maxPath = 48;
const maxOpening = 32 + 1 + 65_536;

export interface Receipt {
  index: number;
  record: Record3;
  proof: Bytes[];
  checkpoint: Checkpoint;
}

/** What is no receipt is told from one with a checkpoint that is none. */
export type Malformed = 'malformed' | 'checkpoint';

export function parseReceipt(bytes: Uint8Array): Receipt | Malformed {
  const text = bytes.length <= maxReceipt ? textOf(bytes) : null;
  const end = text?.indexOf('\n\n') ?? -1;
  if (text === null || end < 0) return 'malformed';
  const [title, extra = '', place = '', ...hashes] = text.slice(0, end).split('\n');
  if (title !== 'c2sp.org/tlog-proof@v1' || !extra.startsWith('extra ') || !place.startsWith('index ') || hashes.length > maxPath) return 'malformed';
  const raw = fromBase64(extra.slice('extra '.length));
  const record = raw && parseRecord(raw);
  const index = decimal(place.slice('index '.length));
  const proof: Bytes[] = [];
  for (const line of hashes) {
    const hash = fromBase64(line);
    if (hash?.length === 32) proof.push(hash);
  }
  if (!record || index === null || proof.length !== hashes.length) return 'malformed';
  const checkpoint = parseCheckpoint(text.slice(end + 2));
  return checkpoint ? { index, record, proof, checkpoint } : 'checkpoint';
}

function parseRecord(bytes: Bytes): Record3 | null {
  const leaf = parseLeaf(bytes.slice(0, leafSize));
  if (!leaf) return null;
  const record: Record3 = { leaf, openings: { operational: null, actor: null, subject: null } };
  let at = leafSize;
  for (const slot of slots) {
    if (at + 4 > bytes.length) return null;
    const length = unsigned(bytes.subarray(at, at + 4));
    at += 4;
    if (length > maxOpening || at + length > bytes.length) return null;
    if (length) record.openings[slot] = bytes.slice(at, at + length);
    at += length;
  }
  return at === bytes.length ? record : null;
}

/** What was found wrong, the first thing first. */
export type Fault = Malformed | 'signature' | 'path' | 'opening' | 'fields' | 'other-event';

export interface Report {
  receipt: Receipt | null;
  faults: Fault[];
  leaf: Bytes | null;
  /** Null where the path cannot lead anywhere in a tree of that size. */
  steps: Step[] | null;
  /** Where the path leads, if it leads to the root that was signed. */
  reachesRoot: boolean;
  signature: SignatureState;
  opened: Opened | null;
}

/** Whether this browser can check anything. Over plain http, a browser has no cryptography for pages. */
export const canCheck = (): boolean => (globalThis.crypto as Crypto | undefined)?.subtle !== undefined;

/** Checks a receipt as far as a browser can. Without a key, nothing is said of the signature. */
export async function checkReceipt(bytes: Uint8Array, key: LogKey | null): Promise<Report> {
  const receipt = parseReceipt(bytes);
  const report: Report = { receipt: null, faults: [], leaf: null, steps: null, reachesRoot: false, signature: 'unchecked', opened: null };
  if (typeof receipt === 'string') return { ...report, faults: [receipt] };
  report.receipt = receipt;
  const { checkpoint, record, index, proof } = receipt;
  if (key) report.signature = await checkSignature(checkpoint, key);
  if (report.signature === 'wrong') report.faults.push('signature');
  report.leaf = await leafHash(record.leaf.bytes);
  report.steps = await climb(index, checkpoint.size, report.leaf, proof);
  report.reachesRoot = report.steps !== null && equal(report.steps.at(-1)?.result ?? report.leaf, checkpoint.root);
  if (!report.reachesRoot) report.faults.push('path');
  report.opened = await open(record);
  if (slots.some((slot) => report.opened!.states[slot] === 'wrong')) report.faults.push('opening');
  else if (report.opened.unreadable) report.faults.push('fields');
  return report;
}

/** What the page shows of an event, by its names in the API. */
export interface Shown {
  index?: number;
  type: string;
  type_version: number;
  time: string;
  operational?: unknown;
  actor?: unknown;
  subject?: unknown;
  /** Slots that are said to have been erased. */
  erased?: readonly Slot[];
}

export type Verdict = 'holds' | 'fails' | 'unchecked';

/** What a receipt says of an event: nothing is proven by a head whose signature, or a leaf whose type, is not known here. */
export function verdictOf({ faults, signature, opened }: Report): Verdict {
  if (faults.length) return 'fails';
  return signature === 'good' && opened?.type ? 'holds' : 'unchecked';
}

/** Whether a receipt that holds shows this event, and not another one. */
export function shows(report: Report, event: Shown): boolean {
  const { receipt, opened } = report;
  if (!receipt || !opened) return false;
  const { leaf } = receipt.record;
  if (receipt.index !== event.index || leaf.time !== Date.parse(event.time) || leaf.version !== event.type_version) return false;
  if (!opened.type) return !types.some((type) => type.name === event.type); // what cannot be read cannot be compared
  if (opened.type.name !== event.type) return false;
  // What was never there, or is there still, was not erased.
  if (event.erased?.some((slot) => opened.states[slot] === 'empty' || opened.states[slot] === 'fits')) return false;
  return slots.every((slot) => {
    const said = event[slot];
    if (said === undefined) return true;
    const proven = opened.values[slot];
    return proven !== undefined && canonical(proven) === canonical(said);
  });
}

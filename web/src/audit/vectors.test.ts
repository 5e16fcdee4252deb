import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bytesOf, concat, fromHex, hex, type Bytes } from './bytes';
import { checkSignature, parseCheckpoint, parseKey } from './checkpoint';
import { open, parseLeaf, type Record3 } from './record';
import { checkReceipt, shows, verdictOf, type Fault } from './receipt';
import { included, leafHash, nodeHash } from './tree';
import { fieldsOf, slots, types, type Slot } from './types';

/** The vectors that the Go implementation is held against too. */
interface Vectors {
  format: string;
  key: string;
  records: { name: string; expect: string; leaf: string; openings: string[]; leaf_hash?: string; type?: string; version?: number; time?: number; missing?: Slot[]; values: (object | null)[] }[];
  trees: { size: number; root: string }[];
  proofs: { name: string; expect: string; size: number; root: string; index?: number; proof: string[] | null; from?: string; kind?: string }[];
  checkpoints: { name: string; expect: string; size?: number; root?: string; time?: number; checkpoint: string }[];
  receipts: { name: string; expect: string; index?: number; type: string; receipt: string }[];
}

const testdata = new URL('../../../audit/testdata/', import.meta.url);
const read = (name: string): unknown => JSON.parse(readFileSync(new URL(name, testdata), 'utf8'));
const vectors = read('vectors.json') as Vectors;

async function theKey() {
  const key = await parseKey(vectors.key);
  expect(key, 'the key of the vectors').not.toBeNull();
  return key!;
}

it('there are vectors of each kind, with both outcomes', () => {
  expect(vectors.format).toBe('stonevault audit vectors, version 1');
  expect(new Set(vectors.records.map((vector) => vector.expect))).toEqual(new Set(['event', 'no-opening', 'no-event', 'no-leaf']));
  expect(new Set(vectors.checkpoints.map((vector) => vector.expect))).toEqual(new Set(['opens', 'refused']));
  expect(new Set(vectors.receipts.map((vector) => vector.expect))).toEqual(new Set(['verifies', 'no-proof', 'no-opening', 'no-checkpoint', 'malformed']));
  expect(vectors.proofs.filter(isInclusion).length).toBeGreaterThan(20);
  expect(vectors.trees.length).toBeGreaterThan(5);
});

it('the table of types is the one that was released', () => {
  const released = read('types.json') as { Type: number; Name: string; Version: number; Fields: ({ Name: string; Kind: string; Max: number; Among: string[] | null }[] | null)[] }[];
  expect(released.length).toBeGreaterThan(20);
  expect(types).toEqual(
    released.map((type) => ({
      number: type.Type,
      name: type.Name,
      version: type.Version,
      fields: Object.fromEntries(slots.map((slot, i) => [slot, type.Fields[i]?.map((field) => ({ name: field.Name, kind: field.Kind, max: field.Max, among: field.Among })) ?? null])),
    })),
  );
  expect(fieldsOf('file.moved', 1, 'subject').map((field) => field.name)).toEqual(['person', 'from', 'to']);
  expect(fieldsOf('file.moved', 2, 'subject')).toEqual([]);
});

describe('records', () => {
  it.each(vectors.records)('$name: $expect', async (vector) => {
    const leaf = parseLeaf(fromHex(vector.leaf));
    if (vector.expect === 'no-leaf') return expect(leaf).toBeNull();
    expect(leaf).not.toBeNull();
    const openings = Object.fromEntries(slots.map((slot, i) => [slot, vector.openings[i] ? fromHex(vector.openings[i]) : null])) as Record<Slot, Bytes | null>;
    const record: Record3 = { leaf: leaf!, openings };
    const opened = await open(record);
    const wrong = slots.some((slot) => opened.states[slot] === 'wrong');
    if (vector.expect === 'no-opening') return expect(wrong).toBe(true);
    expect(wrong).toBe(false);
    if (vector.expect === 'no-event') return expect(opened.unreadable || opened.type === undefined).toBe(true);
    expect(opened.unreadable).toBe(false);
    expect(hex(await leafHash(leaf!.bytes))).toBe(vector.leaf_hash);
    expect(opened.type).toMatchObject({ name: vector.type, version: vector.version });
    expect(leaf!.time).toBe(vector.time);
    for (const [i, slot] of slots.entries()) {
      expect(opened.values[slot] ?? null, slot).toEqual(vector.values[i] ?? null);
      const missing = vector.missing?.includes(slot) ?? false;
      if (slot !== 'operational' && openings.operational) expect(opened.states[slot], slot).toBe(openings[slot] ? 'fits' : missing ? 'missing' : 'empty');
    }
  });

  it('hold no byte that could be another one', async () => {
    const { leaf: text, openings } = vectors.records.find((vector) => vector.name === 'file.put')!;
    const leaf = fromHex(text);
    const opening = fromHex(openings[1]!);
    const state = async (bytes: Bytes, actor: Bytes) => {
      const parsed = parseLeaf(bytes);
      return parsed && (await open({ leaf: parsed, openings: { operational: null, actor, subject: null } })).states.actor;
    };
    expect(await state(leaf, opening)).toBe('fits');
    for (let i = 0; i < opening.length; i += 7) expect(await state(leaf, opening.map((byte, at) => (at === i ? byte ^ 1 : byte)))).toBe('wrong');
    for (const i of [1, 2, 3, 11, 44, 75]) expect(await state(leaf.map((byte, at) => (at === i ? byte ^ 2 : byte)), opening), `byte ${i}`).toBe('wrong');
    expect(await state(leaf, opening.slice(0, 20))).toBe('wrong');
    expect(parseLeaf(leaf.slice(1))).toBeNull();
  });
});

const isInclusion = (vector: Vectors['proofs'][number]): boolean => vector.name.startsWith('leaf ');

describe('paths', () => {
  it.each(vectors.proofs.filter(isInclusion))('$name: $expect', async (vector) => {
    const { index = 0, size, root } = vector;
    const leaf = await leafHash(bytesOf(`leaf ${index}`));
    const proof = (vector.proof ?? []).map(fromHex);
    const holds = vector.expect === 'holds';
    expect(await included(index, size, fromHex(root), leaf, proof)).toBe(holds);
    if (!holds) return;
    expect(await included(index, size, fromHex(root).map((byte) => byte ^ 1), leaf, proof)).toBe(false);
    if (proof.length) expect(await included(index, size, fromHex(root), leaf, proof.slice(1))).toBe(false);
    if (size > 1) expect(await included(index === 0 ? 1 : index - 1, size, fromHex(root), leaf, proof)).toBe(false);
    expect(await included(size, size, fromHex(root), leaf, proof)).toBe(false);
  });

  it.each(vectors.trees.filter((tree) => tree.size > 0 && tree.size <= 300))('lead to the root of the tree of $size', async ({ size, root }) => {
    const rootOf = async (first: number, count: number): Promise<Bytes> => {
      if (count === 1) return leafHash(bytesOf(`leaf ${first}`));
      const half = 2 ** Math.ceil(Math.log2(count) - 1);
      return nodeHash(await rootOf(first, half), await rootOf(first + half, count - half));
    };
    expect(hex(await rootOf(0, size))).toBe(root);
  });
});

describe('checkpoints', () => {
  // Only ML-DSA tells these, which the page leaves to the command line.
  const beyondThePage = ["other tree's ML-DSA"];

  it.each(vectors.checkpoints)('$name: $expect', async (vector) => {
    const checkpoint = parseCheckpoint(vector.checkpoint);
    const signature = checkpoint ? await checkSignature(checkpoint, await theKey()) : 'none';
    if (vector.expect === 'refused') {
      if (beyondThePage.includes(vector.name)) expect(signature).toBe('good');
      else expect(['none', 'wrong']).toContain(signature);
      return;
    }
    expect(signature).toBe('good');
    expect(checkpoint).toMatchObject({ size: vector.size ?? 0, time: vector.time ?? 0 });
    expect(hex(checkpoint!.root)).toBe(vector.root);
  });

  it('are of the log whose key is given', async () => {
    for (const text of ['', vectors.key.slice(1), vectors.key.trimEnd(), vectors.key.replace('8e1b4564', '8e1b4565'), vectors.key.split('\n').reverse().join('\n'), `${vectors.key}x`]) {
      expect(await parseKey(text)).toBeNull();
    }
  });
});

describe('receipts', () => {
  const faultOf: Record<string, Fault> = { 'no-proof': 'path', 'no-opening': 'opening', malformed: 'malformed' };

  it.each(vectors.receipts)('$name: $expect', async (vector) => {
    const report = await checkReceipt(bytesOf(vector.receipt), await theKey());
    if (vector.expect === 'no-checkpoint') return expect(['checkpoint', 'signature']).toContain(report.faults[0]);
    if (vector.expect !== 'verifies') return expect(report.faults[0]).toBe(faultOf[vector.expect]);
    expect(report).toMatchObject({ faults: [], reachesRoot: true, signature: 'good', receipt: { index: vector.index ?? 0 }, opened: { type: { name: vector.type } } });
  });

  const sound = vectors.receipts.find((vector) => vector.name === 'event 299')!;
  const event255 = vectors.receipts.find((vector) => vector.name === 'event 255')!;

  it('hold no line that could be another one', async () => {
    const key = await theKey();
    for (const text of [sound.receipt, event255.receipt]) {
      const lines = text.split('\n');
      const last = lines.findIndex((line) => line.startsWith('— ')); // the line after it is ML-DSA's
      for (let i = 0; i <= last; i++) {
        const without = [...lines.slice(0, i), ...lines.slice(i + 1)].join('\n');
        const twice = [...lines.slice(0, i), lines[i], ...lines.slice(i)].join('\n');
        const middle = Math.floor(lines[i]!.length / 2);
        const other = lines.map((line, at) => (at === i ? `${line.slice(0, middle)}${line[middle] === 'A' ? 'B' : 'A'}${line.slice(middle + 1)}` : line)).join('\n');
        for (const changed of [without, twice, other]) expect((await checkReceipt(bytesOf(changed), key)).faults, `line ${i}`).not.toEqual([]);
      }
      for (const changed of ['', '\n\n', text.slice(0, 400), text + ' ', '\ufeff' + text, text.replaceAll('\n', '\r\n')]) {
        expect((await checkReceipt(bytesOf(changed), key)).faults).not.toEqual([]);
      }
      expect((await checkReceipt(concat(bytesOf(text), Uint8Array.of(0xff)), key)).faults).toEqual(['malformed']);
    }
  });

  it('say nothing of the signature without a key', async () => {
    expect(await checkReceipt(bytesOf(sound.receipt), null)).toMatchObject({ faults: [], signature: 'unchecked' });
  });

  it('show one event, and no other', async () => {
    const report = await checkReceipt(bytesOf(event255.receipt), await theKey());
    const { opened, receipt } = report;
    const event = { index: 255, type: 'file.put', type_version: 1, time: new Date(receipt!.record.leaf.time).toISOString(), ...structuredClone(opened!.values) };
    expect(shows(report, event)).toBe(true);
    expect(shows(report, { ...event, actor: undefined })).toBe(true);
    expect(shows(report, { ...event, actor: undefined, erased: ['actor'] })).toBe(false);
    expect(shows(report, { ...event, index: 254 })).toBe(false);
    expect(shows(report, { ...event, type: 'file.deleted' })).toBe(false);
    expect(shows(report, { ...event, time: '2026-01-01T00:00:00Z' })).toBe(false);
    expect(shows(report, { ...event, actor: { ...event.actor, name: 'Eve' } })).toBe(false);
    expect(shows(report, { ...event, subject: { ...event.subject, more: 1 } })).toBe(false);
    expect(verdictOf(report)).toBe('holds');

    // Of a leaf of an unknown type, no known event can be shown; any other is not proven.
    const unknown = { ...report, opened: { ...opened!, type: undefined, values: {} } };
    expect(shows(unknown, event)).toBe(false);
    expect(shows(unknown, { ...event, type: 'file.unheard-of' })).toBe(true);
    expect(verdictOf(unknown)).toBe('unchecked');
    // Nor is anything proven by a head whose signature nobody checked.
    expect(verdictOf(await checkReceipt(bytesOf(event255.receipt), null))).toBe('unchecked');
    expect(verdictOf({ ...report, faults: ['path'] })).toBe('fails');
  });
});

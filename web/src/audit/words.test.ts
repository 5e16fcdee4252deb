import { describe, expect, it } from 'vitest';
import type { AuditEvent } from '../api/generated';
import { has, t } from '../messages';
import { slots, types, type EventType, type Slot } from './types';
import { facts, fileOf, groupOf, groups, isWarning, prefixes, remarks, sentence } from './words';

const me = 'a'.repeat(32);
const now = '2026-03-01T09:30:00.000Z';

/** An event of a type in which every field has a value; `choose` is which one, of a list. */
function sample(type: EventType, choose: number): AuditEvent {
  const event: AuditEvent = { id: 1, log: 1, index: 0, type: type.name, type_version: type.version, time: now };
  for (const slot of slots) {
    const fields = type.fields[slot];
    if (!fields && slot !== 'operational') continue;
    event[slot] = Object.fromEntries(
      (fields ?? []).map((field) => [
        field.name,
        field.kind === 'count' ? choose + 1 : field.kind === 'flag' ? choose % 2 === 0 : field.kind === 'parts' ? [1, 4] : field.among ? field.among[choose % field.among.length]! : `/${field.name}`,
      ]),
    );
  }
  return event;
}
const say = (event: AuditEvent): string => {
  const { key, values } = sentence(event, me);
  return t(key, values);
};
const event = (type: string, slotValues: Partial<Record<Slot, object>>, more: Partial<AuditEvent> = {}): AuditEvent => ({ id: 7, type, type_version: 1, time: now, ...slotValues, ...more }) as AuditEvent;
const ann = { person: me, name: 'ann', session: 's', client: 'Chrome, Linux', address: '192.0.2.1' };
const bob = { ...ann, person: 'b'.repeat(32), name: 'bob' };

describe('every type', () => {
  const all = types.flatMap((type) => [0, 1, 2, 3, 4, 5].map((choose) => ({ name: `${type.name}, ${choose}`, type, choose })));

  it.each(all)('$name: has a sentence, remarks and facts', ({ type, choose }) => {
    const made = sample(type, choose);
    const { key } = sentence(made, me);
    expect(key).not.toBe('audit.says.other');
    for (const text of [say(made), ...remarks(made)]) expect(text).toMatch(/^[^{}]+$/);
    for (const slot of slots) {
      const told = facts(made, slot);
      expect(told.map((fact) => fact.name)).toEqual((type.fields[slot] ?? []).map((field) => field.name));
      for (const fact of told) {
        expect(has(`audit.fields.${fact.name}`), `a label for ${fact.name}`).toBe(true);
        expect(fact.value).toMatch(/^[^{}]+$/);
      }
    }
  });

  it.each(types)('$name: has words for what may stand in it, and a group of its own', (type) => {
    for (const slot of slots) for (const field of type.fields[slot] ?? []) for (const value of field.among ?? []) expect(has(`audit.words.${value}`), value).toBe(true);
    expect(groups.filter((group) => prefixes[group].some((prefix) => type.name.startsWith(prefix)))).toEqual([groupOf(type.name)]);
  });
});

describe('sentences', () => {
  it.each<[string, AuditEvent]>([
    ['You stored /a.txt', event('file.put', { operational: { version: 1 }, actor: ann, subject: { person: me, path: '/a.txt' } })],
    ['bob stored a new version of /a.txt', event('file.put', { operational: { version: 2 }, actor: bob, subject: { person: me, path: '/a.txt' } })],
    ['Somebody (erased) stored a file (name erased)', event('file.put', { operational: { version: 1 } }, { erased: ['actor', 'subject'] })],
    ['Somebody stored a file', event('file.put', { operational: { version: 1 } })],
    ['You renamed /x/a to b', event('file.moved', { operational: {}, actor: ann, subject: { from: '/x/a', to: '/x/b' } })],
    ['You moved /x/a to /y/a', event('file.moved', { operational: {}, actor: ann, subject: { from: '/x/a', to: '/y/a' } })],
    ['You moved a file (name erased) to a file (name erased)', event('file.moved', { operational: {}, actor: ann }, { erased: ['subject'] })],
    ['bob stored a file (name not shown)', event('file.put', { operational: { version: 1 }, actor: bob }, { withheld: ['subject'] })],
    ['bob made the folder (name not shown)', event('folder.created', { operational: {}, actor: bob }, { withheld: ['subject'] })],
    ['bob deleted the folder (name not shown)', event('file.deleted', { operational: { kind: 'folder' }, actor: bob }, { withheld: ['subject'] })],
    ['bob moved or renamed a file or a folder (name not shown)', event('file.moved', { operational: { kind: 'file' }, actor: bob }, { withheld: ['subject'] })],
    ['You handed the files of bob over to somebody else', event('files.handed-over', { actor: ann, subject: { person: 'b', name: 'bob' } }, { withheld: ['operational'] })],
    ['Signing in as bob failed', event('session.refused', { operational: { count: 1, since: 0, reason: 'credentials' }, actor: { ...ann, person: '' }, subject: { person: 'b', name: 'bob' } })],
    ['Signing in as somebody (erased) failed', event('session.refused', { operational: { reason: 'credentials' } }, { erased: ['subject'] })],
    ['Signing in failed: there is no such account', event('session.refused', { operational: { count: 3, since: 1, reason: 'credentials' } })],
    ['An account was made on the server: ann', event('account.created', { operational: { by: 'command', role: 'admin' }, actor: { ...ann, person: '', name: '', address: '' }, subject: { person: 'c', name: 'ann' } })],
    ['A request by somebody was refused', event('access.refused', { operational: { count: 1 }, actor: { ...ann, person: '', name: '' } })],
    ['A key came into use: the key of ann', event('key.published', { operational: { kind: 'person' }, subject: { person: me, name: 'ann' } })],
    ['The log’s first 1,234 events were anchored', event('log.anchored', { operational: { size: 1234 } })],
    ['A simulated session of you with bob ended without a quantum key', event('quantum.session', { operational: { state: 'aborted', reason: 'qber' }, actor: ann, subject: { person: 'b', name: 'bob' } })],
    ['A program of bob fetched the quantum keys of ann', event('quantum.delivered', { operational: { what: 'fetched', keys: 2 }, actor: bob, subject: { person: me, name: 'ann' } })],
    ['bob put a simulated eavesdropper on a fibre of ann', event('quantum.eavesdropper', { operational: { what: 'on' }, actor: bob, subject: { person: me, name: 'ann' } })],
    ['A stored event was changed or damaged', event('file.put', { operational: { version: 1 }, actor: ann }, { damaged: true })],
    ['Something happened that this page has no words for: moon.landed', event('moon.landed', {})],
    ['Something happened that this page has no words for: server.stopped', event('server.stopped', { operational: { reason: 'bored' } })],
  ])('%s', (text, given) => expect(say(given)).toBe(text));

  it('come with where it was from, and how often', () => {
    expect(remarks(event('session.refused', { operational: { count: 12, since: Date.parse(now), reason: 'limit' }, actor: { ...ann, person: '' } }))[0]).toMatch(/^12 times since \S+/);
    expect(remarks(event('session.refused', { operational: { count: 1, since: 0 } }))).toEqual([]);
    expect(remarks(event('session.opened', { operational: {}, actor: ann }))).toEqual(['from 192.0.2.1', 'Chrome, Linux']);
    const agent = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36';
    expect(remarks(event('session.opened', { operational: {}, actor: { ...ann, client: agent } }))).toEqual(['from 192.0.2.1', 'Chrome, Linux']);
    expect(remarks(event('account.created', { operational: {}, actor: { ...ann, address: '', client: '' } }))).toEqual(['on the server itself']);
    expect(remarks(event('access.refused', { operational: { count: 1, method: 'GET', route: '/api/v1/files/{id}', status: 404 } }))).toEqual(['GET /api/v1/files/{id} · 404']);
    expect(remarks(event('file.put', { operational: { size: 1, version: 1 } }, { damaged: true }))).toEqual([]);
    expect(remarks(event('quantum.session', { operational: { state: 'aborted', reason: 'qber', qber: 250012, keys: 0, eavesdropper: true } }))).toEqual(['too many bits differed', '25% of the bits differed', 'a simulated eavesdropper was on']);
    expect(remarks(event('quantum.session', { operational: { state: 'done', reason: 'none', qber: 24070, keys: 371, eavesdropper: false } }))).toEqual(['2.407% of the bits differed', '371 keys']);
    expect(remarks(event('quantum.eavesdropper', { operational: { what: 'on', attack: 'breidbart', share: 250000, with: 'b' } }))).toEqual(['Breidbart basis, on 25% of the pulses']);
  });

  it('warn where something is to be looked at', () => {
    const warned = [...new Set(types.map((type) => sample(type, 1)).filter(isWarning).map((made) => made.type))];
    expect(warned).toEqual(['server.stopped', 'session.refused', 'session.ended', 'token.reused', 'access.refused', 'setup.refused', 'file.verified', 'quantum.session', 'quantum.refused']);
  });
});

describe('facts', () => {
  it('are told in words', () => {
    const values = (given: AuditEvent, slot: Slot) => Object.fromEntries(facts(given, slot).map((fact) => [fact.label, fact.value]));
    const put = event('file.put', { operational: { file: 'f', revision: 1, manifest: 'm', document: 'd', version: 3, size: 1234, class: 'restricted', by: 'upload' }, actor: { ...ann, person: '', address: '' } });
    expect(values(put, 'operational')).toMatchObject({ Size: '1,234 bytes', Class: 'restricted', Version: '3', 'By way of': 'upload in pieces' });
    expect(values(put, 'actor')).toMatchObject({ 'Account id': 'Nobody who has an account', 'Network address': 'on the server itself' });
    expect(fileOf(put)).toBe('d');
    // What a newer server says, this page shows as it is.
    expect(values(event('file.put', { operational: { colour: { red: 1 }, size: 5 } }), 'operational')).toEqual({ Size: '5 bytes', colour: '{"red":1}' });
    expect(facts(put, 'subject')).toEqual([]);
    expect(values(event('person.erased', { operational: { parts: [1, 5] } }), 'operational')).toEqual({ 'Parts that were erased': '2 parts: 1, 5' });
  });
});

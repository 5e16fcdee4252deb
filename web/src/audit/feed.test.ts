import { describe, expect, it } from 'vitest';
import type { AuditEvent, EventQuery } from '../api/audit';
import { beginningOf, Feed, filterOf, Merged, merge, queries, type Fetch, type Filter } from './feed';

const everything: Filter = { kind: 'all', person: '', file: '', since: '', until: '' };
const event = (id: number, type: string, index: number | undefined = id): AuditEvent => ({ id, type, type_version: 1, time: '2026-01-01T00:00:00Z', ...(index === undefined ? {} : { index }) });

/** A log as the server has it, in pages that may hold fewer than was asked for, or nothing. */
class Log {
  events: AuditEvent[] = [];
  asked: EventQuery[] = [];
  failing = false;

  fetch: Fetch = async (query, limit, cursor) => {
    this.asked.push(query);
    if (this.failing) throw new Error('no');
    const all = this.events.filter((each) => each.type.startsWith(query.type ?? '') && each.id > (query.after ?? 0)).sort((a, b) => b.id - a.id);
    const from = Number(cursor ?? 0);
    if (cursor === undefined && all.length > 3) return { items: [], next_cursor: '0' };
    const items = all.slice(from, from + Math.min(limit, 7));
    return { items, ...(from + items.length < all.length ? { next_cursor: String(from + items.length) } : {}) };
  };
}

function logOf(count: number): Log {
  const log = new Log();
  const types = ['file.put', 'session.opened', 'download.begun', 'key.published', 'upload.begun'];
  for (let id = 1; id <= count; id++) log.events.push(event(id, types[id % types.length]!));
  return log;
}

describe('what the address asks for', () => {
  const [me, other] = ['a'.repeat(32), 'b'.repeat(32)];
  const asked = (query: Record<string, string>, role: 'admin' | 'manager' | 'user'): Filter => filterOf((name) => query[name] ?? '', { id: me, role });

  it('is all that somebody may see, where it says nothing', () => {
    for (const role of ['admin', 'manager', 'user'] as const) expect(asked({}, role)).toEqual(everything);
    expect(filterOf(() => '', null)).toEqual(everything);
  });
  it('is one person for who sees events of others, and for nobody else', () => {
    for (const role of ['admin', 'manager'] as const) {
      expect(asked({ person: other }, role).person).toBe(other);
      expect(asked({ mine: '1' }, role).person).toBe(me);
      expect(asked({ mine: '1', person: other }, role).person).toBe(me);
    }
    expect(asked({ person: other, mine: '1' }, 'user').person).toBe('');
  });
  it('is a kind, a file and days', () => {
    expect(asked({ kind: 'files', file: other, from: '2026-03-01', until: '2026-03-01' }, 'user')).toEqual({ kind: 'files', person: '', file: other, since: beginningOf('2026-03-01'), until: beginningOf('2026-03-02') });
    expect(asked({ kind: 'nonsense', from: 'yesterday' }, 'user')).toEqual(everything);
  });
});

describe('several lists', () => {
  it('are one, in order, to the last event', async () => {
    const log = logOf(200);
    const merged = new Merged(queries({ ...everything, kind: 'files' }), log.fetch);
    const found: number[] = [];
    while (!merged.over) found.push(...(await merged.next(9)).map((each) => each.id));
    expect(found).toEqual(log.events.filter((each) => /^(file|download|upload)\./.test(each.type)).map((each) => each.id).reverse());
    expect(await merged.next(5)).toEqual([]);
  });

  it('lose nothing to an error half-way', async () => {
    const log = logOf(60);
    const merged = new Merged(queries(everything), log.fetch);
    const first = await merged.next(5);
    log.failing = true;
    await expect(merged.next(20)).rejects.toThrow('no');
    log.failing = false;
    expect([...first, ...(await merged.next(100))].map((each) => each.id)).toEqual(Array.from({ length: 60 }, (_, i) => 60 - i));
  });

  it('are asked for with everything that is looked at', () => {
    const filter: Filter = { kind: 'access', person: 'p', file: 'f', since: 's', until: 'u' };
    expect(queries(filter)).toEqual(['session.', 'token.', 'access.', 'setup.'].map((type) => ({ type, person: 'p', file: 'f', since: 's', until: 'u' })));
    expect(queries(everything)).toEqual([{}]);
  });
});

describe('the list', () => {
  it('goes on to older ones, and takes new ones in', async () => {
    const log = logOf(120);
    const feed = new Feed(log.fetch);
    await feed.show(everything);
    expect(feed).toMatchObject({ fresh: false, loading: false, over: false, pending: false });
    expect(feed.items.map((each) => each.id)).toEqual(Array.from({ length: 50 }, (_, i) => 120 - i));
    log.events.push(event(121, 'file.put', undefined), event(122, 'file.put', undefined));
    expect(await feed.poll()).toBe(2);
    expect(feed.items).toHaveLength(52);
    expect(feed.items[0]!.id).toBe(122);
    await feed.more();
    await feed.more();
    expect(feed.items.map((each) => each.id)).toEqual(Array.from({ length: 122 }, (_, i) => 122 - i));
    expect(feed.over).toBe(true);
  });

  it('learns what has a place now, however many came since', async () => {
    const log = logOf(10);
    log.events.push(event(11, 'file.put', undefined));
    delete log.events.at(-1)!.index;
    const feed = new Feed(log.fetch);
    await feed.show(everything);
    expect(feed.pending).toBe(true);
    for (let id = 12; id <= 200; id++) log.events.push(event(id, 'file.put'));
    log.events[10] = event(11, 'file.put', 11);
    expect(await feed.poll()).toBe(189);
    expect(feed.pending).toBe(false);
    expect(feed.items).toHaveLength(200);
  });

  it('begins anew where very much has come', async () => {
    const log = logOf(10);
    const feed = new Feed(log.fetch);
    await feed.show(everything);
    for (let id = 11; id <= 2000; id++) log.events.push(event(id, 'file.put'));
    expect(await feed.poll()).toBe(500);
    expect(feed.items.map((each) => each.id)).toEqual(Array.from({ length: 50 }, (_, i) => 2000 - i));
    await feed.more();
    expect(feed.items.at(-1)!.id).toBe(1901);
  });

  it('sees one that became visible after a later one, and leaves what is older to its next page', async () => {
    const log = logOf(100);
    const late = log.events.splice(94, 1)[0]!;
    const feed = new Feed(log.fetch);
    await feed.show(everything);
    log.events.push(late);
    log.events.push(event(49, 'file.put'));
    expect(await feed.poll()).toBe(1);
    expect(feed.items.map((each) => each.id)).toContain(95);
    expect(feed.items.at(-1)!.id).toBe(50);
  });

  it('says what went wrong and goes on from there', async () => {
    const log = logOf(60);
    const feed = new Feed(log.fetch);
    log.failing = true;
    await feed.show(everything);
    expect(feed.error).toBeInstanceOf(Error);
    log.failing = false;
    await feed.more();
    expect(feed).toMatchObject({ error: null, fresh: false });
    expect(feed.items).toHaveLength(50);
    log.failing = true;
    await feed.more();
    expect(feed.error).toBeInstanceOf(Error);
    await expect(feed.poll()).rejects.toThrow('no');
    log.failing = false;
    expect(await feed.poll()).toBe(0);
  });

  it('throws away what comes after a later question', async () => {
    const log = logOf(20);
    const feed = new Feed(log.fetch);
    const first = feed.show(everything);
    await feed.show({ ...everything, kind: 'accounts' });
    await first;
    expect(new Set(feed.items.map((each) => each.type))).toEqual(new Set(['key.published']));
  });
});

it('an event that comes twice is there once, as it was last', () => {
  expect(merge([event(3, 'a'), event(1, 'a')], [event(3, 'b'), event(2, 'b')]).map((each) => `${each.id}${each.type}`)).toEqual(['3b', '2b', '1a']);
});

it('days begin at midnight here', () => {
  expect(beginningOf('2026-03-01')).toBe(new Date(2026, 2, 1).toISOString());
  expect(beginningOf('2026-02-28', 1)).toBe(new Date(2026, 2, 1).toISOString());
  for (const text of ['', '2026-3-1', 'yesterday', '2026-03-01T00:00']) expect(beginningOf(text)).toBe('');
});

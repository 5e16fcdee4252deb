import { reactive } from 'vue';
import { eventPage, type AuditEvent, type EventQuery } from '../api/audit';
import type { Role } from '../api/people';
import { groups, prefixes, type Group } from './words';

/** The list of events, page by page, and what is new since. */

/** What is looked at. */
export interface Filter {
  kind: Group | 'all';
  /** The id of a person, or nothing. */
  person: string;
  file: string;
  /** Moments as RFC 3339, or nothing. */
  since: string;
  until: string;
}

/** What the page's address asks for. Only who sees events of others can choose among people. */
export function filterOf(of: (name: string) => string, me: { id: string; role: Role } | null): Filter {
  return {
    kind: groups.find((group) => group === of('kind')) ?? 'all',
    person: !seesOthers(me?.role) ? '' : of('mine') === '1' ? (me?.id ?? '') : of('person'),
    file: of('file'),
    since: beginningOf(of('from')),
    until: beginningOf(of('until'), 1),
  };
}

/** Admins see what everybody does, managers what the people of their groups do. */
export const seesOthers = (role: Role | undefined): boolean => role === 'admin' || role === 'manager';

export type Fetch = typeof eventPage;

const pageSize = 50;
/** Ids that are looked at again: an event may become visible a little after one with a higher id. */
const overlap = 32;
/** Of more new ones than this, the list begins anew: somebody was away for long. */
const mostNew = 500;

/** One question for each beginning of types, as the server takes one at a time. */
export function queries(filter: Filter): EventQuery[] {
  const { person, file, since, until } = filter;
  const common: EventQuery = { ...(person ? { person } : {}), ...(file ? { file } : {}), ...(since ? { since } : {}), ...(until ? { until } : {}) };
  return filter.kind === 'all' ? [common] : prefixes[filter.kind].map((type) => ({ ...common, type }));
}

/** Several lists, each the newest first, as one. */
export class Merged {
  private readonly parts: { query: EventQuery; waiting: AuditEvent[]; cursor: string | undefined; over: boolean }[];

  constructor(queries: EventQuery[], private readonly fetch: Fetch) {
    this.parts = queries.map((query) => ({ query, waiting: [], cursor: undefined, over: false }));
  }

  get over(): boolean {
    return this.parts.every((part) => part.over && !part.waiting.length);
  }

  /** All of them, or an error after which the same ones can be asked for again. */
  async next(count: number): Promise<AuditEvent[]> {
    const found: { part: Merged['parts'][number]; event: AuditEvent }[] = [];
    try {
      while (found.length < count) {
        // Which event is the newest is known only where something of each list is there.
        await Promise.all(this.parts.map((part) => this.fill(part)));
        const [part] = this.parts.filter((each) => each.waiting.length).sort((a, b) => b.waiting[0]!.id - a.waiting[0]!.id);
        if (!part) break;
        found.push({ part, event: part.waiting.shift()! });
      }
    } catch (error) {
      for (const { part, event } of found.reverse()) part.waiting.unshift(event);
      throw error;
    }
    return found.map(({ event }) => event);
  }

  /** The server may look through much and find nothing yet. */
  private async fill(part: Merged['parts'][number]): Promise<void> {
    while (!part.waiting.length && !part.over) {
      const page = await this.fetch(part.query, pageSize, part.cursor);
      part.waiting.push(...page.items);
      part.cursor = page.next_cursor;
      part.over = !page.next_cursor;
    }
  }
}

export class Feed {
  items: AuditEvent[] = [];
  /** Nothing is known yet of what shall be shown. */
  fresh = true;
  loading = false;
  /** There is nothing older. */
  over = false;
  error: unknown = null;
  private filter: Filter = { kind: 'all', person: '', file: '', since: '', until: '' };
  private merged: Merged | null = null;
  private asked = 0;
  private polling = false;

  constructor(private readonly fetch: Fetch = eventPage) {}

  /** Some of it has no place in the log yet. */
  get pending(): boolean {
    return this.items.some((event) => event.index === undefined && !event.damaged);
  }

  async show(filter: Filter): Promise<void> {
    this.filter = filter;
    this.items = [];
    this.fresh = true;
    this.over = false;
    this.merged = new Merged(queries(filter), this.fetch);
    await this.more();
  }

  /** The next page. An answer that comes after a later question is thrown away. */
  async more(): Promise<void> {
    const ticket = ++this.asked;
    const { merged } = this;
    if (!merged) return;
    this.loading = true;
    this.error = null;
    try {
      const items = await merged.next(pageSize);
      if (ticket !== this.asked) return;
      this.items = merge(this.items, items);
      this.over = merged.over;
      this.fresh = false;
    } catch (error) {
      if (ticket === this.asked) this.error = error;
    } finally {
      if (ticket === this.asked) this.loading = false;
    }
  }

  /** Asks what is new, and whether those that had no place have one now. Tells how many are new. */
  async poll(): Promise<number> {
    if (this.polling || this.loading || this.fresh) return 0;
    this.polling = true;
    const ticket = this.asked;
    try {
      const open = this.items.filter((event) => event.index === undefined).map((event) => event.id - 1);
      const after = Math.max(0, Math.min(...open, (this.items[0]?.id ?? 0) - overlap));
      const merged = new Merged(queries(this.filter).map((query) => ({ ...query, after })), this.fetch);
      const found = await merged.next(mostNew);
      if (ticket !== this.asked) return 0;
      if (!merged.over) {
        await this.show(this.filter);
        return found.length;
      }
      const known = new Set(this.items.map((event) => event.id));
      const oldest = this.items.at(-1)?.id ?? 0;
      // What is older than the list belongs to its next pages.
      const kept = found.filter((event) => event.id >= oldest || this.over);
      this.items = merge(this.items, kept);
      return kept.filter((event) => !known.has(event.id)).length;
    } finally {
      this.polling = false;
    }
  }
}

/** The newest first, each once; of two that are the same, the later answer counts. */
export function merge(before: AuditEvent[], now: AuditEvent[]): AuditEvent[] {
  const byId = new Map([...before, ...now].map((event) => [event.id, event]));
  return [...byId.values()].sort((a, b) => b.id - a.id);
}

export function useFeed(): Feed {
  return reactive(new Feed()) as Feed;
}

/** A day as it is written into the address, 2026-03-01, as the moment at which it begins here; nothing where it is none. */
export function beginningOf(day: string, later = 0): string {
  const parts = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day);
  if (!parts) return '';
  const at = new Date(Number(parts[1]), Number(parts[2]) - 1, Number(parts[3]) + later);
  return Number.isNaN(at.getTime()) ? '' : at.toISOString();
}

import { asProblem, type Problem } from '../api/problem';
import { Rate } from './rate';

/**
 * The queue of uploads: which one runs when, and what becomes of it. It knows no network, no page and no
 * clock of its own, so that all of it can be tested; tus.ts does the sending.
 */

export type ItemState =
  | 'queued'
  | 'sending'
  | 'paused' // by the person
  | 'waiting' // for the network, the server or signing in; goes on by itself
  | 'conflict' // something is there already, and the person must choose
  | 'failed'
  | 'done';

export interface Source {
  file: Blob & { name: string; lastModified: number };
  /** Absolute path in the vault. */
  path: string;
}

export interface Item {
  readonly id: number;
  readonly file: Source['file'];
  path: string;
  state: ItemState;
  sent: number;
  readonly size: number;
  replace: boolean;
  /** It went on where an earlier upload of the same file had stopped. */
  resumed: boolean;
  problem: Problem | null;
  attempts: number;
  retryAt: number;
}

/** One upload on its way. */
export interface Sending {
  /** Stops sending; what the server has stays there. */
  stop(): void;
  /** Stops, and the server forgets what it has. */
  discard(): Promise<void>;
}

export interface SendEvents {
  progress(sent: number): void;
  resumed(): void;
  done(): void;
  failed(error: unknown): void;
}

/** Begins to send an item, or goes on where it stopped. */
export type Send = (item: Item, events: SendEvents) => Sending;

export interface Timer {
  now(): number;
  after(milliseconds: number, call: () => void): () => void;
}

/** How long the nth attempt waits: about a second at first, then up to half a minute. */
export function backoff(attempt: number, random = Math.random()): number {
  return Math.min(30_000, 1000 * 2 ** (attempt - 1)) * (0.75 + random / 2);
}

/** A sending that gets this many bytes on their way was worth its attempt: the next one waits no longer for it. */
const worthwhile = 1 << 20;

export interface Totals {
  files: number;
  done: number;
  failed: number;
  conflicts: number;
  paused: number;
  waiting: number;
  bytes: number;
  sent: number;
  /** Bytes per second. */
  speed: number;
  /** Seconds; 0 where nobody can tell. */
  left: number;
  /** Something is moving, or will as soon as its turn comes. */
  busy: boolean;
  unfinished: boolean;
}

const active: ItemState[] = ['queued', 'sending', 'paused', 'waiting', 'conflict'];

export class Queue {
  readonly items: Item[];
  /** While `held` is set, nothing is sent. */
  readonly status: { held: 'no' | 'offline' | 'signed-out' };

  /** What is behind `items`, for reading through all of it without waking whoever looks on. */
  private readonly rows: Item[] = [];
  private readonly sendings = new Map<number, Sending>();
  private readonly rate = new Rate();
  private nextId = 1;
  private cancelTimer: (() => void) | null = null;

  constructor(
    private readonly send: Send,
    private readonly timer: Timer,
    private readonly settled: (item: Item) => void = () => {},
    private readonly parallel = 3,
    /** Makes rows observable; the page passes Vue's reactive. */
    private readonly observe: <T extends object>(value: T) => T = (value) => value,
  ) {
    this.items = observe(this.rows);
    this.status = observe({ held: 'no' });
  }

  add(sources: Source[]): Item[] {
    const added = sources.map((source) =>
      this.observe<Item>({
        id: this.nextId++, file: source.file, path: source.path, size: source.file.size,
        state: 'queued', sent: 0, replace: false, resumed: false, problem: null, attempts: 0, retryAt: 0,
      }),
    );
    this.items.push(...added);
    this.pump();
    return added;
  }

  pause(item: Item): void {
    if (item.state !== 'queued' && item.state !== 'sending' && item.state !== 'waiting') return;
    this.halt(item);
    item.state = 'paused';
    this.pump();
  }

  resume(item: Item): void {
    if (item.state !== 'paused' && item.state !== 'failed' && item.state !== 'waiting') return;
    item.attempts = 0;
    item.problem = null;
    item.state = 'queued';
    this.pump();
  }

  pauseAll(): void {
    for (const item of this.items) {
      if (item.state !== 'queued' && item.state !== 'sending' && item.state !== 'waiting') continue;
      this.halt(item);
      item.state = 'paused';
    }
    this.rate.reset();
  }

  resumeAll(): void {
    for (const item of this.items) if (item.state === 'paused') item.state = 'queued';
    this.pump();
  }

  /** Takes an item off the list; an unfinished upload is forgotten by the server too. */
  cancel(item: Item): void {
    const sending = this.sendings.get(item.id);
    if (item.state !== 'done') void sending?.discard().catch(() => {}); // else it expires there
    this.drop(item);
    this.pump();
  }

  cancelAll(): void {
    for (const item of [...this.items]) this.cancel(item);
  }

  /** Stops everything and keeps what the server has, for another time. */
  leave(): void {
    for (const item of [...this.items]) {
      this.halt(item);
      this.drop(item);
    }
  }

  clearFinished(): void {
    for (const item of this.items.filter((i) => i.state === 'done')) this.drop(item);
  }

  /** The person's answer where something is there already. */
  decide(item: Item, choice: 'replace' | 'skip' | { path: string }): void {
    if (item.state !== 'conflict') return;
    if (choice === 'skip') return this.cancel(item);
    this.halt(item);
    this.sendings.delete(item.id);
    if (choice === 'replace') item.replace = true;
    else item.path = choice.path;
    item.problem = null;
    item.sent = 0;
    item.state = 'queued';
    this.pump();
  }

  hold(why: 'offline' | 'signed-out'): void {
    this.status.held = why;
    for (const item of this.items) {
      if (item.state !== 'sending') continue;
      this.halt(item);
      item.state = 'waiting';
      item.retryAt = 0;
    }
    this.rate.reset();
  }

  /** Ends a hold of this kind, and tries at once what was waiting. */
  release(why: 'offline' | 'signed-out'): void {
    if (this.status.held !== why && this.status.held !== 'no') return;
    this.status.held = 'no';
    for (const item of this.items) if (item.state === 'waiting') item.retryAt = 0;
    this.pump();
  }

  /** What all items come to. Rows that failed are counted, but nobody waits for their bytes. */
  totals(): Totals {
    const total: Totals = {
      files: this.rows.length, done: 0, failed: 0, conflicts: 0, paused: 0, waiting: 0,
      bytes: 0, sent: 0, speed: 0, left: 0, busy: false, unfinished: this.unfinished,
    };
    for (const item of this.rows) {
      if (item.state === 'done') total.done++;
      if (item.state === 'failed') total.failed++;
      if (item.state === 'conflict') total.conflicts++;
      if (item.state === 'paused') total.paused++;
      if (item.state === 'waiting') total.waiting++;
      if (item.state === 'queued' || item.state === 'sending') total.busy = true;
      if (item.state === 'failed' || item.state === 'conflict') continue;
      total.bytes += item.size;
      total.sent += item.state === 'done' ? item.size : item.sent;
    }
    total.speed = this.rate.speed(this.timer.now());
    total.left = total.speed > 0 ? (total.bytes - total.sent) / total.speed : 0;
    return total;
  }

  get unfinished(): boolean {
    return this.rows.some((item) => active.includes(item.state));
  }

  private pump(): void {
    if (this.status.held !== 'no') return;
    const now = this.timer.now();
    let running = 0;
    for (const item of this.rows) if (item.state === 'sending') running++;
    let soonest = Infinity;
    for (const [i, item] of this.rows.entries()) {
      if (item.state === 'waiting' && item.retryAt > now) {
        soonest = Math.min(soonest, item.retryAt);
        continue;
      }
      if (item.state !== 'queued' && item.state !== 'waiting') continue;
      if (running >= this.parallel) break;
      running++;
      this.begin(this.items[i]!);
    }
    this.cancelTimer?.();
    this.cancelTimer = soonest === Infinity ? null : this.timer.after(soonest - now, () => this.pump());
  }

  private begin(item: Item): void {
    item.state = 'sending';
    item.problem = null;
    // An event of a sending that was stopped or replaced meanwhile says nothing about this one.
    const current = (): boolean => item.state === 'sending' && (sending === undefined || this.sendings.get(item.id) === sending);
    let sending: Sending | undefined;
    let from = Infinity; // where it goes on, which the first progress tells
    sending = this.send(item, {
      progress: (sent) => {
        if (!current()) return;
        from = Math.min(from, sent);
        if (sent - from >= worthwhile) item.attempts = 0;
        item.sent = sent;
        this.rate.add(this.timer.now(), this.totals().sent);
      },
      resumed: () => (item.resumed = true),
      done: () => {
        if (!current()) return;
        item.sent = item.size;
        item.state = 'done';
        this.sendings.delete(item.id);
        this.settled(item);
        this.pump();
      },
      failed: (error) => {
        if (!current()) return;
        this.fail(item, asProblem(error));
        this.pump();
      },
    });
    this.sendings.set(item.id, sending);
  }

  private fail(item: Item, problem: Problem): void {
    item.problem = problem;
    if (problem.code === 'exists' || problem.code === 'precondition-failed') {
      item.state = 'conflict';
      this.settled(item);
    } else if (problem.status === 401) {
      item.state = 'waiting'; // hold() follows from the session's end
      item.retryAt = this.timer.now() + 1000;
    } else if (this.mayPass(item, problem)) {
      item.attempts++;
      item.state = 'waiting';
      item.retryAt = this.timer.now() + Math.max(backoff(item.attempts), problem.retryAfter * 1000);
    } else {
      item.state = 'failed';
      this.settled(item);
    }
  }

  /** Whether trying again can help: the line, a busy server, or a server and a page that disagree about the offset. */
  private mayPass(item: Item, problem: Problem): boolean {
    if (problem.status === 507) return false;
    // An upload that has expired meanwhile begins anew; one that is never found does not.
    if (problem.status === 404) return item.attempts < 2;
    return problem.temporary || problem.code === 'wrong-offset' || problem.code === 'conflict';
  }

  private halt(item: Item): void {
    this.sendings.get(item.id)?.stop();
  }

  private drop(item: Item): void {
    this.sendings.delete(item.id);
    const at = this.items.findIndex((i) => i.id === item.id);
    if (at >= 0) this.items.splice(at, 1);
  }
}

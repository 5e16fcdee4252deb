import { describe, expect, it } from 'vitest';
import { networkProblem, Problem } from '../api/problem';
import { backoff, Queue, type Item, type SendEvents, type Sending } from './queue';

/** A clock that stands still until it is told to go on. */
class Clock {
  time = 0;
  private timers: { at: number; call: () => void }[] = [];
  now = (): number => this.time;
  after = (milliseconds: number, call: () => void): (() => void) => {
    const timer = { at: this.time + milliseconds, call };
    this.timers.push(timer);
    return () => (this.timers = this.timers.filter((other) => other !== timer));
  };
  pass(milliseconds: number): void {
    const end = this.time + milliseconds;
    for (;;) {
      const next = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.time = next.at;
      next.call();
    }
    this.time = end;
  }
}

/** A sender whose uploads do what the test says. */
class Wire {
  running = new Map<number, SendEvents>();
  starts: string[] = [];
  discarded: string[] = [];
  send = (item: Item, events: SendEvents): Sending => {
    this.running.set(item.id, events);
    this.starts.push(item.path);
    return {
      stop: () => void this.running.delete(item.id),
      discard: () => {
        this.running.delete(item.id);
        this.discarded.push(item.path);
        return Promise.resolve();
      },
    };
  };
  of(item: Item): SendEvents {
    const events = this.running.get(item.id);
    if (!events) throw new Error(`${item.path} is not being sent`);
    return events;
  }
}

function file(name: string, size = 1000): Item['file'] {
  return Object.assign(new Blob([new Uint8Array(size)]), { name, lastModified: 0 });
}

function setUp(names: string[], size = 1000) {
  const clock = new Clock();
  const wire = new Wire();
  const settled: string[] = [];
  const queue = new Queue(wire.send, clock, (item) => settled.push(`${item.path} ${item.state}`), 3);
  const items = queue.add(names.map((name) => ({ file: file(name, size), path: `/${name}` })));
  return { clock, wire, queue, items, settled, states: () => items.map((item) => item.state) };
}

const problem = (code: string, status: number, retryAfter = 0) => new Problem(code, status, code, 'id', retryAfter);

describe('the queue', () => {
  it('sends three at a time, in order, until all are done', () => {
    const { wire, queue, items, settled, states } = setUp(['a', 'b', 'c', 'd', 'e']);
    expect(states()).toEqual(['sending', 'sending', 'sending', 'queued', 'queued']);
    wire.of(items[1]!).done();
    expect(wire.starts).toEqual(['/a', '/b', '/c', '/d']);
    for (const item of [items[0]!, items[2]!, items[3]!, items[4]!]) wire.of(item).done();
    expect(states().every((state) => state === 'done')).toBe(true);
    expect(settled).toHaveLength(5);
    expect(queue.unfinished).toBe(false);
  });

  it('pauses one, lets the next begin, and goes on when told', () => {
    const { wire, queue, items, states } = setUp(['a', 'b', 'c', 'd']);
    wire.of(items[0]!).progress(400);
    queue.pause(items[0]!);
    expect(states()).toEqual(['paused', 'sending', 'sending', 'sending']);
    expect(items[0]!.sent).toBe(400);
    queue.resume(items[0]!);
    expect(items[0]!.state).toBe('queued');
    wire.of(items[1]!).done();
    expect(items[0]!.state).toBe('sending');
  });

  it('pauses and resumes everything', () => {
    const { wire, queue, states } = setUp(['a', 'b', 'c', 'd']);
    queue.pauseAll();
    expect(states()).toEqual(['paused', 'paused', 'paused', 'paused']);
    expect(wire.running.size).toBe(0);
    queue.resumeAll();
    expect(states()).toEqual(['sending', 'sending', 'sending', 'queued']);
  });

  it.each([
    ['a lost network', networkProblem()],
    ['a server that stops', problem('not-ready', 503)],
    ['a lock that a dead connection holds', problem('locked', 423)],
    ['another offset', problem('wrong-offset', 409)],
    ['a change at the same time', problem('conflict', 409)],
    ['a stalled body', problem('stalled', 408)],
  ])('tries again after %s', (_, error) => {
    const { clock, wire, items } = setUp(['a']);
    wire.of(items[0]!).failed(error);
    expect(items[0]!.state).toBe('waiting');
    expect(items[0]!.problem).toBe(error);
    clock.pass(1300);
    expect(items[0]!.state).toBe('sending');
    expect(items[0]!.problem).toBeNull();
    wire.of(items[0]!).done();
    expect(items[0]!.state).toBe('done');
  });

  it('waits longer after each failure in vain, and not after one that brought it further', () => {
    const { clock, wire, items } = setUp(['a'], 100 << 20);
    const attempt = (from: number, to: number): number => {
      wire.of(items[0]!).progress(from);
      wire.of(items[0]!).progress(to);
      wire.of(items[0]!).failed(networkProblem());
      const began = clock.now();
      while (items[0]!.state === 'waiting') clock.pass(100);
      return (clock.now() - began) / 1000;
    };
    for (let i = 1; i < 10; i++) expect(attempt(i << 20, (i + 1) << 20)).toBeLessThanOrEqual(1.3);
    for (const least of [1.5, 3, 6, 12, 22.5, 22.5]) expect(attempt(50 << 20, (51 << 20) - 1)).toBeGreaterThanOrEqual(least);
    expect(attempt(50 << 20, 51 << 20)).toBeLessThanOrEqual(1.3);
  });

  it('waits as long as the server asks', () => {
    const { clock, wire, items } = setUp(['a']);
    wire.of(items[0]!).failed(problem('busy', 503, 20));
    clock.pass(19_999);
    expect(items[0]!.state).toBe('waiting');
    clock.pass(1);
    expect(items[0]!.state).toBe('sending');
  });

  it.each([
    ['no space', problem('no-space', 507)],
    ['a value that is not accepted', problem('invalid', 422)],
    ['a file that is too large', problem('too-large', 413)],
  ])('gives up after %s, until told to try again', (_, error) => {
    const { clock, wire, queue, items, settled } = setUp(['a']);
    wire.of(items[0]!).failed(error);
    clock.pass(100_000);
    expect(items[0]!.state).toBe('failed');
    expect(settled).toEqual(['/a failed']);
    queue.resume(items[0]!);
    expect(items[0]!.state).toBe('sending');
  });

  it('begins an expired upload anew, but not for ever', () => {
    const { clock, wire, items } = setUp(['a']);
    for (let i = 0; i < 2; i++) {
      wire.of(items[0]!).failed(problem('not-found', 404));
      expect(items[0]!.state).toBe('waiting');
      clock.pass(5000);
    }
    wire.of(items[0]!).failed(problem('not-found', 404));
    expect(items[0]!.state).toBe('failed');
  });

  it('asks the person where something is there already', () => {
    for (const [choice, path, replace] of [['replace', '/a', true], [{ path: '/a (2)' }, '/a (2)', false]] as const) {
      const { wire, queue, items } = setUp(['a']);
      wire.of(items[0]!).failed(problem('exists', 409));
      expect(items[0]!.state).toBe('conflict');
      expect(queue.unfinished).toBe(true);
      queue.decide(items[0]!, choice);
      expect(items[0]).toMatchObject({ state: 'sending', path, replace, sent: 0 });
    }
    const { wire, queue, items } = setUp(['a']);
    wire.of(items[0]!).failed(problem('exists', 409));
    queue.decide(items[0]!, 'skip');
    expect(queue.items).toHaveLength(0);
  });

  it('cancels: the server forgets, and the next one begins', () => {
    const { wire, queue, items } = setUp(['a', 'b', 'c', 'd']);
    queue.cancel(items[0]!);
    expect(wire.discarded).toEqual(['/a']);
    expect(queue.items.map((item) => item.path)).toEqual(['/b', '/c', '/d']);
    expect(items[3]!.state).toBe('sending');
    wire.of(items[1]!).done();
    queue.cancel(items[1]!);
    expect(wire.discarded).toEqual(['/a']);
  });

  it('holds while there is no network, and goes on at once when it is back', () => {
    const { clock, wire, queue, states, items } = setUp(['a', 'b', 'c', 'd']);
    queue.hold('offline');
    expect(states()).toEqual(['waiting', 'waiting', 'waiting', 'queued']);
    clock.pass(100_000);
    expect(wire.running.size).toBe(0);
    queue.release('offline');
    expect(states()).toEqual(['sending', 'sending', 'sending', 'queued']);
    wire.of(items[0]!).failed(networkProblem());
    queue.hold('signed-out');
    queue.release('offline');
    expect(states()[1]).toBe('waiting');
    queue.release('signed-out');
    expect(states()[0]).toBe('sending');
  });

  it('does not listen to what was stopped', () => {
    const { wire, queue, items } = setUp(['a']);
    const old = wire.of(items[0]!);
    queue.pause(items[0]!);
    old.progress(999);
    old.done();
    old.failed(networkProblem());
    expect(items[0]).toMatchObject({ state: 'paused', sent: 0 });
    queue.resume(items[0]!);
    old.done();
    expect(items[0]!.state).toBe('sending');
  });

  it('leaves: everything stops, and the server keeps what it has', () => {
    const { wire, queue } = setUp(['a', 'b', 'c', 'd']);
    queue.leave();
    expect(queue.items).toHaveLength(0);
    expect(wire.running.size).toBe(0);
    expect(wire.discarded).toEqual([]);
  });

  it('adds up progress, speed and the time that is left', () => {
    const { clock, wire, queue, items } = setUp(['a', 'b'], 10_000);
    for (let i = 1; i <= 5; i++) {
      clock.pass(1000);
      wire.of(items[0]!).progress(i * 1000);
    }
    expect(queue.totals()).toMatchObject({ files: 2, done: 0, bytes: 20_000, sent: 5000, speed: 1000, left: 15, busy: true });
    wire.of(items[1]!).failed(problem('no-space', 507));
    expect(queue.totals()).toMatchObject({ failed: 1, bytes: 10_000, sent: 5000 });
  });

  it('takes five thousand files without effort', () => {
    const names = Array.from({ length: 5000 }, (_, i) => `f${i}`);
    const began = performance.now();
    const { wire, queue, items } = setUp(names, 0);
    for (const item of items) wire.of(item).done();
    expect(queue.totals().done).toBe(5000);
    expect(performance.now() - began).toBeLessThan(3000);
  });
});

describe('the backoff', () => {
  it.each([[1, 0.75, 1.25], [2, 1.5, 2.5], [4, 6, 10], [6, 22.5, 37.5], [40, 22.5, 37.5]])('attempt %i waits between %d and %d seconds', (attempt, least, most) => {
    expect(backoff(attempt, 0)).toBe(least * 1000);
    expect(backoff(attempt, 1)).toBe(most * 1000);
  });
});

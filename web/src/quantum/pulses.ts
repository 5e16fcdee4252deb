import type { Pulse } from '../api/quantum';

/** The first pulses of a session, one by one. */

export type Mark = 'lost' | 'discarded' | 'test' | 'key' | 'error';

/** Bits in the same basis that differ. Of a key in use nobody can tell: its bits are not shown. */
export function isError(pulse: Pulse): boolean {
  return (pulse.use === 'test' || pulse.use === 'key') && pulse.alice_bit !== undefined && pulse.bob_bit !== undefined && pulse.alice_bit !== pulse.bob_bit;
}

export const markOf = (pulse: Pulse): Mark => (isError(pulse) ? 'error' : pulse.use);

/** A bit that went into a key. */
export const isHidden = (pulse: Pulse): boolean => pulse.use === 'key' && pulse.alice_bit === undefined;

export function counted(pulses: Pulse[]): Record<Mark, number> {
  const counts: Record<Mark, number> = { lost: 0, discarded: 0, test: 0, key: 0, error: 0 };
  for (const pulse of pulses) counts[markOf(pulse)]++;
  return counts;
}

export const pageSize = 25;

export function pageOf<T>(all: T[], page: number): { items: T[]; first: number; pages: number; page: number } {
  const pages = Math.max(1, Math.ceil(all.length / pageSize));
  const here = Math.min(Math.max(0, page), pages - 1);
  return { items: all.slice(here * pageSize, (here + 1) * pageSize), first: here * pageSize, pages, page: here };
}

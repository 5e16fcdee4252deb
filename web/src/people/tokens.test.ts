import { describe, expect, it } from 'vitest';
import { expiryOf, lifetimes, stateOf } from './tokens';

const now = new Date('2026-11-27T09:00:00Z');

describe('API tokens', () => {
  it('expire after their days', () => {
    expect(expiryOf('7', now).toISOString()).toBe('2026-12-04T09:00:00.000Z');
    for (const days of lifetimes) expect(expiryOf(days, now).getTime() - now.getTime()).toBeLessThanOrEqual(366 * 86_400_000);
  });

  it.each([
    ['2026-11-27T08:59:59Z', 'over'],
    ['2026-11-27T09:00:00Z', 'over'],
    ['2026-11-27T09:00:01Z', 'soon'],
    ['2026-12-04T08:59:59Z', 'soon'],
    ['2026-12-04T09:00:00Z', 'good'],
  ])('one until %s is %s', (until, state) => expect(stateOf({ expires_at: until }, now)).toBe(state));
});

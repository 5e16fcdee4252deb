/** How long API tokens may work, in days. The server takes 366 at most. */
export const lifetimes = ['7', '30', '90', '365'] as const;
export type Lifetime = (typeof lifetimes)[number];

/** From when a token of this age does not work any more. */
export function expiryOf(days: Lifetime, now = new Date()): Date {
  return new Date(now.getTime() + Number(days) * 86_400_000);
}

export type TokenState = 'good' | 'soon' | 'over';

/** Whether a token works, works for a week at most, or does not any more. */
export function stateOf({ expires_at: until }: { expires_at: string }, now = new Date()): TokenState {
  const left = Date.parse(until) - now.getTime();
  return left <= 0 ? 'over' : left < 7 * 86_400_000 ? 'soon' : 'good';
}

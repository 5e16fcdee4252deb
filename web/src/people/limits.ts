/** Limits as people write them: a number and a unit, or nothing for no limit. */

export const units = ['MB', 'GB', 'TB'] as const;
export type Unit = (typeof units)[number];
const sizes: Record<Unit, number> = { MB: 1e6, GB: 1e9, TB: 1e12 };

export interface Amount {
  /** As it was typed; empty is no limit. */
  number: string;
  unit: Unit;
}

/** The largest unit that says it in three digits behind the point at most. */
export function amountOf(bytes: number | undefined): Amount {
  if (bytes === undefined) return { number: '', unit: 'GB' };
  const unit = [...units].reverse().find((each) => bytes >= sizes[each] && Number.isInteger((bytes / sizes[each]) * 1000)) ?? 'MB';
  return { number: String(bytes / sizes[unit]), unit };
}

/** The bytes; undefined for no limit, null for what is no number or more than can be counted. */
export function bytesOf({ number, unit }: Amount): number | undefined | null {
  const text = number.trim().replace(',', '.');
  if (text === '') return undefined;
  if (!/^\d+(\.\d+)?$/.test(text)) return null;
  const bytes = Math.round(Number(text) * sizes[unit]);
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** How many files; undefined for no limit, null for what is no whole number. */
export function countOf(text: string): number | undefined | null {
  if (text.trim() === '') return undefined;
  const count = Number(text.trim());
  return /^\d+$/.test(text.trim()) && Number.isSafeInteger(count) ? count : null;
}

/** The share that is used, from 0 to 1; null where there is no limit. */
export function shareOf(used: number, limit: number | undefined): number | null {
  if (limit === undefined) return null;
  return limit === 0 ? 1 : Math.min(1, used / limit);
}

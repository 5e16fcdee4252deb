import type { Result } from '../api/quantum';
import type { MessageKey } from '../messages';

/** What is left after each step, from the pulses to the bits of keys. */

export type StageName = 'pulses' | 'detected' | 'sifted' | 'estimated' | 'corrected' | 'secret' | 'keys';

export interface Stage {
  name: StageName;
  left: number;
  /** What the step took away. */
  lost: number;
  /** The bar's length out of the longest, by powers of ten. */
  length: number;
  /** That of the bar before. */
  before: number;
  /** The session had ended before: there is nothing of this step. */
  missing: boolean;
}

/** One bit still has a bar that can be seen. */
const shortest = 0.012;

export function lengthOf(left: number, of: number): number {
  if (left <= 0) return 0;
  return of <= 1 ? 1 : Math.max(shortest, Math.log10(left) / Math.log10(of));
}

export function stages(result: Result): Stage[] {
  const reached = new Set(result.steps.map((step) => step.name));
  const corrected = reached.has('reconciled') || result.parities > 0;
  const rows: [StageName, number, boolean][] = [
    ['pulses', result.pulses, false],
    ['detected', result.detected, false],
    ['sifted', result.sifted, false],
    ['estimated', result.key_sifted, false],
    ['corrected', corrected ? Math.max(0, result.key_sifted - result.leak_bits) : 0, !corrected],
    ['secret', result.secret_bits, false],
    ['keys', result.key_bits, result.aborted],
  ];
  let before = result.pulses;
  return rows
    .filter(([name]) => name !== 'keys' || !result.aborted)
    .map(([name, left, missing]) => {
      const stage = { name, left, lost: before - left, length: lengthOf(left, result.pulses), before: lengthOf(before, result.pulses), missing };
      before = missing ? before : left;
      return stage;
    });
}

/** Places of powers of ten below the bars, so few that they can be read. */
export function grid(pulses: number): { exponent: number; at: number }[] {
  const all = Math.log10(Math.max(10, pulses));
  const step = Math.ceil(all / 6);
  return Array.from({ length: Math.floor(all / step + 1e-9) + 1 }, (_, i) => ({ exponent: i * step, at: (i * step) / all }));
}

export const stageLabel = (name: StageName): MessageKey => `quantum.stages.${name}.label`;
export const stageLoss = (name: Exclude<StageName, 'pulses'>): MessageKey => `quantum.stages.${name}.lost`;

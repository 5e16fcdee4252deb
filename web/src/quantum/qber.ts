import type { Result } from '../api/quantum';
import { roundSteps, type Tick } from './scale';
import { limit, percent, verdict, type Verdict } from './words';

/** The scale of the error rate: everything on it as parts of its width. */
export interface QberScale {
  verdict: Verdict;
  end: number;
  limit: number;
  at: number;
  low: number;
  high: number;
  ticks: Tick[];
}

/** The scale ends at 30% where that is enough; half of all bits differ by mere chance. */
export function qberScale(result: Pick<Result, 'qber' | 'qber_low' | 'qber_high' | 'compared' | 'reason' | 'estimated_qber'>): QberScale {
  const known = verdict(result);
  const end = known === 'unknown' || result.qber_high <= 0.3 ? 0.3 : result.qber_high <= 0.5 ? 0.5 : 1;
  const on = (share: number): number => Math.min(1, Math.max(0, share / end));
  return {
    verdict: known,
    end,
    limit: on(limit),
    at: on(result.qber),
    low: on(result.qber_low),
    high: on(result.qber_high),
    ticks: roundSteps(end, 7).map((share) => ({ at: on(share), label: percent(share, 0) })),
  };
}

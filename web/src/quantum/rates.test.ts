import { describe, expect, it } from 'vitest';
import type { QuantumCurve } from '../api/quantum';
import { extent, pathOf, place, rateAt, rows } from './rates';

const curve = (name: string, ...rates: number[]): QuantumCurve => ({
  name, title: name, reference: '', distance_km: 10, pulses: 1000,
  points: rates.map((rate, i) => ({ distance_km: i * 5, per_second: rate, per_pulse: rate / 1e9, length: Math.round(rate), qber: 0.01 })),
});
const far = curve('far', 10_000, 1000, 100, 10, 0);
const near = curve('near', 500, 0);

describe('the chart of rates', () => {
  it('reads a curve between its points, and has nothing behind its end', () => {
    expect(rateAt(far.points, 5, 'per_second')).toBe(1000);
    expect(rateAt(far.points, 7.5, 'per_second')).toBeCloseTo(316.2, 1);
    expect(rateAt(far.points, 0, 'per_pulse')).toBe(1e-5);
    for (const distance of [16, 20, 25, 500]) expect(rateAt(far.points, distance, 'per_second'), String(distance)).toBe(0);
    expect(rateAt([], 5, 'per_second')).toBe(0);
  });

  it('shows all curves, and what else there is', () => {
    expect(extent([far, near], 'per_second')).toEqual({ reach: 20, low: 1, high: 4 });
    expect(extent([far], 'per_second', [{ distance: 130, rate: 3 }])).toEqual({ reach: 140, low: 0, high: 4 });
    expect(extent([], 'per_pulse')).toEqual({ reach: 20, low: -1, high: 0 });
  });

  it('draws a curve up to its end', () => {
    const at = place({ reach: 20, low: 0, high: 4 }, { left: 0, right: 200, top: 0, bottom: 40 });
    expect(pathOf(far.points, 'per_second', at)).toBe('M0.0 0.0L50.0 10.0L100.0 20.0L150.0 30.0');
    expect(pathOf(curve('open', 10, 100).points, 'per_second', at)).toBe('M0.0 30.0L50.0 20.0');
    expect(pathOf(curve('none', 0).points, 'per_second', at)).toBe('');
  });

  it('is a table too', () => {
    expect(rows([far, near], 'per_second')).toEqual([
      { distance: 0, rates: [10_000, 500] },
      { distance: 10, rates: [100, 0] },
      { distance: 20, rates: [0, 0] },
    ]);
  });
});

import type { QuantumCurve, QuantumRate } from '../api/quantum';
import { decades, linear, logarithmic } from './scale';

/** The chart of rate against distance. */

export type Unit = 'per_second' | 'per_pulse';
export interface Point {
  x: number;
  y: number;
}

export interface Area {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** What a curve has at a distance, by powers of ten between its points; 0 behind its end. */
export function rateAt(points: QuantumRate[], distance: number, unit: Unit): number {
  const after = points.findIndex((point) => point.distance_km >= distance);
  if (after < 0) return 0;
  const right = points[after]!;
  if (right.distance_km === distance || after === 0) return right[unit];
  const left = points[after - 1]!;
  if (left[unit] <= 0 || right[unit] <= 0) return 0;
  const along = linear(left.distance_km, right.distance_km)(distance);
  return 10 ** (Math.log10(left[unit]) * (1 - along) + Math.log10(right[unit]) * along);
}

/** How far any curve reaches, and the decades of its rates. `also` are other points that shall be seen. */
export function extent(curves: QuantumCurve[], unit: Unit, also: { distance: number; rate: number }[] = []): { reach: number; low: number; high: number } {
  const points = curves.flatMap((curve) => curve.points);
  const [low, high] = decades([...points.map((point) => point[unit]), ...also.map((point) => point.rate)]);
  const farthest = Math.max(...points.map((point) => point.distance_km), ...also.map((point) => point.distance), 0);
  return { reach: Math.max(20, Math.ceil(farthest / 20) * 20), low, high };
}

export function place({ reach, low, high }: { reach: number; low: number; high: number }, area: Area): { x: (km: number) => number; y: (rate: number) => number } {
  const across = linear(0, reach);
  const up = logarithmic(10 ** low, 10 ** high);
  return {
    x: (km) => area.left + (area.right - area.left) * across(km),
    y: (rate) => area.bottom - (area.bottom - area.top) * up(rate),
  };
}

/** The curve as an SVG path. It ends where nothing is left, which a logarithm cannot show. */
export function pathOf(points: QuantumRate[], unit: Unit, at: { x: (km: number) => number; y: (rate: number) => number }): string {
  const end = points.findIndex((point) => point[unit] <= 0);
  const drawn = end < 0 ? points : points.slice(0, end);
  return drawn.map((point, i) => `${i ? 'L' : 'M'}${at.x(point.distance_km).toFixed(1)} ${at.y(point[unit]).toFixed(1)}`).join('');
}

/** The rows of the table: every 10 km, and each curve's rate there. */
export function rows(curves: QuantumCurve[], unit: Unit): { distance: number; rates: number[] }[] {
  const { reach } = extent(curves, unit);
  const last = Math.max(...curves.flatMap((curve) => curve.points.map((point) => point.distance_km)), 0);
  return Array.from({ length: reach / 10 + 1 }, (_, i) => i * 10)
    .filter((distance) => distance <= last)
    .map((distance) => ({ distance, rates: curves.map((curve) => rateAt(curve.points, distance, unit)) }));
}

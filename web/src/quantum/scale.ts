/** Scales of charts and sliders. */

export interface Tick {
  at: number;
  label: string;
}

/** Where a value stands between two others, from 0 to 1 within them. */
export function linear(low: number, high: number): (value: number) => number {
  return (value) => (high === low ? 0 : (value - low) / (high - low));
}

/** The same by powers of ten. What is not above zero stands at the beginning. */
export function logarithmic(low: number, high: number): (value: number) => number {
  const along = linear(Math.log10(low), Math.log10(high));
  return (value) => (value > 0 ? along(Math.log10(value)) : 0);
}

/** Powers of ten that enclose the values, which are above zero; at least one decade. */
export function decades(values: number[]): [number, number] {
  const above = values.filter((value) => value > 0 && Number.isFinite(value));
  if (!above.length) return [-1, 0];
  // The logarithm of 1000 is a little below 3.
  const low = Math.floor(Math.log10(Math.min(...above)) + 1e-9);
  const high = Math.ceil(Math.log10(Math.max(...above)) - 1e-9) + 0; // not -0
  return [low, Math.max(high, low + 1)];
}

/** Round numbers from 0 to at most `end`, no more than `most` of them. */
export function roundSteps(end: number, most: number): number[] {
  if (!(end > 0) || most < 2) return [0];
  const raw = end / (most - 1);
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((n) => n * unit).find((n) => n >= raw * (1 - 1e-9))!;
  return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** The number of pulses at a place of their slider: tenths of decades, of two digits. */
export function pulsesAt(place: number): number {
  const exact = 10 ** (place / 10);
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(exact) + 1e-9) - 1);
  return Math.round(exact / unit) * unit;
}

export function placeOfPulses(pulses: number): number {
  return pulses > 0 ? Math.round(Math.log10(pulses) * 10) : 0;
}

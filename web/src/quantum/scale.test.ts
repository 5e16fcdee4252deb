import { describe, expect, it } from 'vitest';
import { decades, linear, logarithmic, placeOfPulses, pulsesAt, roundSteps } from './scale';

describe('scales', () => {
  it('place values between two others', () => {
    expect(linear(0, 20)(5)).toBe(0.25);
    expect(linear(3, 3)(3)).toBe(0);
    expect(logarithmic(1, 1e4)(100)).toBeCloseTo(0.5);
    for (const nothing of [0, -1]) expect(logarithmic(1, 10)(nothing)).toBe(0);
  });

  it.each([
    [[3, 40, 0], [0, 2]], [[1000], [3, 4]], [[1e-5, 1], [-5, 0]], [[2e-7], [-7, -6]], [[], [-1, 0]], [[0, NaN, Infinity], [-1, 0]],
  ])('%j lie within the decades %j', (values, range) => expect(decades(values)).toEqual(range));

  it.each([
    [0.3, 7, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]], [160, 9, [0, 20, 40, 60, 80, 100, 120, 140, 160]], [160, 4, [0, 100]], [0, 5, [0]], [10, 1, [0]],
  ])('0 to %d has at most %d marks', (end, most, marks) => {
    const found = roundSteps(end, most);
    expect(found.length).toBeLessThanOrEqual(most);
    expect(found.map((mark) => Number(mark.toFixed(6)))).toEqual(marks);
  });

  it('number pulses by tenths of decades, of two digits', () => {
    expect([30, 33, 77, 80, 120].map(pulsesAt)).toEqual([1000, 2000, 50_000_000, 100_000_000, 1e12]);
    for (let place = 0; place <= 150; place++) {
      expect(Number.isInteger(pulsesAt(place)), String(place)).toBe(true);
      if (place >= 10) expect(placeOfPulses(pulsesAt(place))).toBe(place);
    }
    expect(placeOfPulses(0)).toBe(0);
  });
});

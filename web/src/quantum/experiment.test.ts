import { describe, expect, it } from 'vitest';
import { asked, attacksOf, numberOf, pulsesOf, start } from './experiment';

describe('what is typed', () => {
  it.each([
    ['10', 10], [' 12.5 ', 12.5], ['12,5', 12.5], ['.5', 0.5], ['5e7', 5e7], ['5E-2', 0.05], ['-3', -3], ['50 000 000', 5e7], ['', null], ['km', null], ['1,000', null], ['1.2.3', null],
    ['Infinity', null], ['1e999', null], ['0x10', null], ['e7', null],
  ])('“%s” is %s', (text, value) => expect(numberOf(text)).toBe(value));

  it.each([['5e7', 5e7], ['1,000,000', 1e6], ['1', 1], ['0', null], ['-5', null], ['1.5', null], ['2.5e1', 25], ['1e20', null], ['many', null]])('“%s” pulses are %s', (text, value) => expect(pulsesOf(text)).toBe(value));
});

describe('an experiment', () => {
  it('asks for what the controls say, and for nothing that they leave to the server', () => {
    expect(asked(start())).toEqual({ body: { preset: 'metro', source: 'decoy', distance_km: 10 }, errors: {} });
    const form = { ...start(), eve: '12.5', attack: 'pns' as const, automatic: false, pulses: '2e6', seed: 'a' };
    expect(asked(form)).toEqual({ body: { preset: 'metro', source: 'decoy', distance_km: 10, eve: 0.125, attack: 'pns', pulses: 2e6, seed: 'a' }, errors: {} });
    // The server knows the ranges.
    expect(asked({ ...form, distance: '600' }).errors).toEqual({});
  });

  it('says what is no number', () => {
    const { errors } = asked({ ...start(), distance: 'far', eve: '101', automatic: false, pulses: '1.5' });
    expect(Object.keys(errors).sort()).toEqual(['distance_km', 'eve', 'pulses']);
    expect(asked({ ...start(), pulses: 'none' }).errors).toEqual({});
  });

  it('offers no splitting of single photons', () => {
    expect(attacksOf('decoy')).toContain('pns');
    expect(attacksOf('single')).toEqual(['intercept', 'breidbart']);
  });
});

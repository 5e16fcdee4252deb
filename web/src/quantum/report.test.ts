import { describe, expect, it } from 'vitest';
import type { Pulse, Reason, Result } from '../api/quantum';
import { counted, isError, isHidden, markOf, pageOf } from './pulses';
import { qberScale } from './qber';
import { grid, lengthOf, stages } from './waterfall';
import { count, didEve, explanation, headline, part, percent, powerOfTen, scientific, sent, time, verdict } from './words';

/** A session as the server reports it. */
function made(change: Partial<Result> = {}): Result {
  return {
    mode: 'simulated', source: 'decoy', aborted: false, reason: '', pulses: 160_000_000, detected: 2_018_979, sifted: 1_113_174, tested: 232_913, key_sifted: 880_261,
    qber: 0.0243, qber_low: 0.024, qber_high: 0.0246, errors: 27_044, compared: 1_113_174, estimated_qber: 0.0241, parities: 149_225, f_ec: 1.026, leak_bits: 149_239,
    secret_bits: 318_635, auth_bits: 1536, key_bits: 317_099, seconds: 0.16, alice: { messages: 1, bytes: 1, tags: 1 }, bob: { messages: 1, bytes: 1, tags: 1 },
    steps: (['detected', 'sifted', 'estimated', 'reconciled', 'verified', 'amplified'] as const).map((name) => ({ name, left: 1, messages: 1, bytes: 1 })), double_clicks: 0,
    setup: { mu: [0.6, 0.2, 0], p: [0.2, 0.5, 0.3], key_basis: 0.66, eps_sec: 1e-10, eps_cor: 1e-15, channel: { distance_km: 10, loss_db_km: 0.2, efficiency: 0.1, dark_count: 6e-7, after_pulse: 0.04, misalignment: 0.005 }, eve: { fraction: 0 }, pulse_rate: 1e9 },
    ...change,
  };
}
const caught = (): Result =>
  made({ aborted: true, reason: 'qber', qber: 0.2512, qber_low: 0.2504, qber_high: 0.252, estimated_qber: 0.2511, parities: 0, f_ec: 0, leak_bits: 0, secret_bits: 0, auth_bits: 0, key_bits: 0, steps: made().steps.slice(0, 3) });

describe('the waterfall', () => {
  it('loses nothing that it does not say', () => {
    const all = stages(made());
    expect(all.map((stage) => stage.name)).toEqual(['pulses', 'detected', 'sifted', 'estimated', 'corrected', 'secret', 'keys']);
    expect(all.map((stage) => stage.left)).toEqual([160_000_000, 2_018_979, 1_113_174, 880_261, 731_022, 318_635, 317_099]);
    all.slice(1).forEach((stage, i) => expect(stage.left + stage.lost).toBe(all[i]!.left));
    expect(all[0]!.length).toBe(1);
    for (const stage of all) expect(stage.length).toBeLessThanOrEqual(stage.before);
    expect(all.some((stage) => stage.missing)).toBe(false);
  });

  it('ends with nothing where the session was aborted', () => {
    const all = stages(caught());
    expect(all.map((stage) => stage.name)).not.toContain('keys');
    expect(all.find((stage) => stage.name === 'corrected')).toMatchObject({ missing: true, left: 0 });
    expect(all.at(-1)).toMatchObject({ name: 'secret', left: 0, length: 0, lost: 880_261 });
  });

  it('draws what is small, and nothing for nothing', () => {
    expect(lengthOf(0, 1000)).toBe(0);
    expect(lengthOf(1, 1000)).toBeGreaterThan(0);
    expect(lengthOf(1, 1)).toBe(1);
    expect(lengthOf(1000, 1_000_000)).toBeCloseTo(0.5);
    expect(grid(1e6).map((line) => line.exponent)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    for (const pulses of [1, 9, 1e9, 3.2e13, 1e15]) {
      expect(grid(pulses).length).toBeLessThanOrEqual(7);
      for (const line of grid(pulses)) expect(line.at).toBeLessThanOrEqual(1);
    }
  });
});

describe('the error rate', () => {
  it('is judged by what was estimated', () => {
    expect(verdict(made())).toBe('below');
    expect(verdict(caught())).toBe('above');
    // Over all bits it may be below, while those that were compared first were above.
    expect(verdict(made({ reason: 'qber', estimated_qber: 0.1101, qber: 0.1099 }))).toBe('above');
    expect(verdict(made({ compared: 0, qber: 0 }))).toBe('unknown');
  });

  it('has a scale that holds it', () => {
    expect(qberScale(caught())).toMatchObject({ verdict: 'above', end: 0.3 });
    expect(qberScale(caught()).at).toBeGreaterThan(qberScale(caught()).limit);
    expect(qberScale(made()).at).toBeLessThan(qberScale(made()).limit);
    expect(qberScale(made({ qber_high: 0.42 })).end).toBe(0.5);
    expect(qberScale(made({ qber_high: 0.9 })).end).toBe(1);
    expect(qberScale(made({ compared: 0, qber_low: 0, qber_high: 1 }))).toMatchObject({ verdict: 'unknown', end: 0.3 });
    expect(qberScale(made()).ticks.map((tick) => tick.label)).toEqual(['0%', '5%', '10%', '15%', '20%', '25%', '30%']);
  });
});

describe('words', () => {
  it('say what came of it, and why nothing did', () => {
    expect(headline(made())).toBe('318,635 secret bits');
    expect(headline(made({ secret_bits: 1 }))).toBe('1 secret bit');
    expect(explanation(made(), true)).toContain('1,238 keys of 256 bits');
    expect(headline(caught())).toBe('Aborted: no secret bits');
    expect(explanation(caught(), true)).toContain('25.11% of the compared bits differ. From 11% on');
    for (const reason of ['few', 'length', 'verification', 'weather'] as Reason[]) expect(explanation(made({ aborted: true, reason }), true), reason).toMatch(/\.$/);
  });

  it.each([[0, '0'], [5, '5'], [0.012, '0.012'], [2_925_931, '2,930,000'], [6e-7, '6 × 10⁻⁷'], [1e-10, '10⁻¹⁰'], [9.999e-5, '10⁻⁴'], [4.5e13, '4.5 × 10¹³']])('%d is %s', (value, text) => expect(scientific(value)).toBe(text));
  it.each([[0.16, '160 ms'], [2, '2 sec'], [31e-6, '31 μs'], [0, '0 μs']])('%d seconds are %s', (value, text) => expect(time(value)).toBe(text.replace(' ', '\u00a0')));
  it.each([[55, 100, '55%'], [1, 80, '1.3%'], [1, 1_000_000, '0.0001%'], [0, 5, '0%'], [3, 0, '0%'], [9999, 10_000, '100.0%'], [5, 5, '100%']])('%d of %d are %s', (n, of, text) => expect(part(n, of)).toBe(text));
  it('write numbers', () => {
    expect([count(1234567), percent(0.25), percent(0.11, 0), powerOfTen(-12), powerOfTen(3)]).toEqual(['1,234,567', '25.00%', '11%', '10⁻¹²', '10³']);
  });
});

describe('the first pulses', () => {
  const pulse = (change: Partial<Pulse> = {}): Pulse => ({ number: 0, alice_basis: 'X', alice_bit: 1, intensity: 0, photons: 1, bob_basis: 'X', bob_bit: 1, detected: true, use: 'key', ...change });

  it('are sorted by what became of them', () => {
    const wrong = pulse({ bob_bit: 0 });
    const hidden = pulse();
    delete hidden.alice_bit;
    delete hidden.bob_bit;
    const all = [pulse(), wrong, hidden, pulse({ use: 'test' }), pulse({ use: 'discarded', bob_basis: 'Z', bob_bit: 0 }), pulse({ use: 'lost', detected: false })];
    expect(all.map(markOf)).toEqual(['key', 'error', 'key', 'test', 'discarded', 'lost']);
    expect(counted(all)).toEqual({ key: 2, error: 1, test: 1, discarded: 1, lost: 1 });
    expect(all.map(isHidden)).toEqual([false, false, true, false, false, false]);
    expect(isError(hidden)).toBe(false);
  });

  it('are said in words', () => {
    expect(sent(pulse())).toBe('signal, 1 photon');
    expect(sent(pulse({ intensity: 2, photons: 0 }))).toBe('vacuum, 0 photons');
    expect(didEve(pulse({ eve: 'measured Z', eve_bit: 0 }))).toBe('measured Z: 0');
    expect([didEve(pulse()), didEve(pulse({ eve: 'blocked' })), didEve(pulse({ eve: 'toString' }))]).toEqual(['', 'blocked it', 'toString']);
  });

  it('come a few at a time', () => {
    const all = Array.from({ length: 60 }, (_, i) => i);
    expect(pageOf(all, 0)).toMatchObject({ first: 0, pages: 3, page: 0 });
    expect(pageOf(all, 2).items).toEqual([50, 51, 52, 53, 54, 55, 56, 57, 58, 59]);
    expect(pageOf(all, 9).page).toBe(2);
    expect(pageOf(all, -1).page).toBe(0);
    expect(pageOf([], 0)).toEqual({ items: [], first: 0, pages: 1, page: 0 });
  });
});

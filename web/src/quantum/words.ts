import type { Attack, Pulse, QuantumSession, Reason, Result } from '../api/quantum';
import { locale, t, type MessageKey } from '../messages';

/** Numbers and outcomes of sessions, in words. */

/** The error rate from which on no secret bit can be left; the server judges by the same. */
export const limit = 0.11;

const whole = new Intl.NumberFormat(locale);
const compact = new Intl.NumberFormat(locale, { notation: 'compact', compactDisplay: 'long', maximumSignificantDigits: 3 });
const percents = [0, 1, 2].map((digits) => new Intl.NumberFormat(locale, { style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits }));
const three = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });

export const count = (n: number): string => whole.format(n);
/** 160000000 as "160 million". */
export const short = (n: number): string => compact.format(n);
export const significant = (n: number): string => three.format(n);

/** A share: two digits behind the point where it is an error rate, fewer where nobody needs them. */
export function percent(share: number, digits: 0 | 1 | 2 = 2): string {
  return percents[digits]!.format(share);
}

/** A part of a whole, down to what is hardly there: "68%", "1.3%", "0.0004%". */
export function part(n: number, of: number): string {
  if (of <= 0) return percent(0, 0);
  const share = n / of;
  if (share >= 0.1 || share === 0) return percent(share, share >= 0.995 && share < 1 ? 1 : 0);
  return new Intl.NumberFormat(locale, { style: 'percent', maximumSignificantDigits: 2 }).format(share);
}

const superscripts: Record<string, string> = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };
export const powerOfTen = (exponent: number): string => `10${[...String(exponent)].map((c) => superscripts[c]).join('')}`;

/** "1.99 × 10⁻³" for what is far from one, plain digits for the rest. */
export function scientific(value: number): string {
  if (value === 0) return '0';
  if (value >= 0.01 && value < 1e9) return three.format(value);
  let exponent = Math.floor(Math.log10(value));
  let digits = value / 10 ** exponent;
  if (digits >= 9.995) [digits, exponent] = [1, exponent + 1];
  return digits === 1 ? powerOfTen(exponent) : `${three.format(digits)} × ${powerOfTen(exponent)}`;
}

/** How long the pulses take at the source's clock. */
export function time(seconds: number): string {
  for (const [unit, size] of [['second', 1], ['millisecond', 1e-3], ['microsecond', 1e-6]] as const) {
    if (seconds >= size || unit === 'microsecond') {
      // Number and unit stay on one line.
      return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short', maximumSignificantDigits: 3 }).format(seconds / size).replace(' ', '\u00a0');
    }
  }
  return '';
}

/** Titles of links begin like parts of a sentence. */
export const capital = (text: string): string => text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);

export type Verdict = 'below' | 'above' | 'unknown';

/** The session is judged by what its two sides compared; the rate over all bits may differ a little. */
export function verdict(result: Pick<Result, 'compared' | 'reason' | 'estimated_qber' | 'qber'>): Verdict {
  if (result.compared === 0) return 'unknown';
  return result.reason === 'qber' || result.estimated_qber >= limit ? 'above' : 'below';
}

export function headline(result: Result): string {
  if (result.aborted) return t('quantum.outcome.aborted');
  return t('quantum.outcome.done', { n: result.secret_bits });
}

/** Why nothing came out, or what the secret bits are. */
export function explanation(result: Result, laboratory: boolean): string {
  if (!result.aborted) return t(laboratory ? 'quantum.outcome.laboratory' : 'quantum.outcome.keys', { keys: Math.floor(result.key_bits / 256), auth: result.auth_bits });
  const reason: Exclude<Reason, ''> | 'other' = result.reason && Object.hasOwn(reasons, result.reason) ? result.reason : 'other';
  return t(reasons[reason], { qber: percent(result.estimated_qber), limit: percent(limit, 0) });
}

const reasons = {
  few: 'quantum.reasons.few',
  qber: 'quantum.reasons.qber',
  length: 'quantum.reasons.length',
  verification: 'quantum.reasons.verification',
  other: 'quantum.reasons.other',
} as const satisfies Record<string, MessageKey>;

export const attackName = (attack: Attack): string => t(`quantum.attacks.${attack}`);

/** Which of the three intensities Alice sent, and what was in the pulse: "decoy, 2 photons". */
export function sent(pulse: Pulse): string {
  const photons = t('quantum.pulses.photons', { n: pulse.photons });
  const names = ['quantum.pulses.signal', 'quantum.pulses.decoy', 'quantum.pulses.vacuum'] as const;
  return `${t(names[pulse.intensity] ?? names[0])}, ${photons}`;
}

const eves: Record<string, MessageKey> = {
  'measured X': 'quantum.pulses.eveX',
  'measured Z': 'quantum.pulses.eveZ',
  'measured between': 'quantum.pulses.eveBetween',
  'kept a photon': 'quantum.pulses.eveKept',
  blocked: 'quantum.pulses.eveBlocked',
};
/** What Eve did, and the bit that she found: "measured X: 1". */
export function didEve({ eve, eve_bit: bit }: Pulse): string {
  if (!eve) return '';
  const what = Object.hasOwn(eves, eve) ? t(eves[eve]!) : eve;
  return bit === undefined ? what : t('quantum.pulses.eveBit', { what, bit });
}

export const stateName = (state: QuantumSession['state']): string => t(`quantum.states.${state}`);

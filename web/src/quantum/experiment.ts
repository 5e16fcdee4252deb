import type { Attack, QuantumExperiment, QuantumSource } from '../api/quantum';
import { t } from '../messages';

/** What the controls of the laboratory hold, as they are typed, and what is asked of the server. */
export interface Form {
  preset: string;
  source: QuantumSource;
  distance: string;
  /** In percent. */
  eve: string;
  attack: Attack;
  automatic: boolean;
  pulses: string;
  seed: string;
}

export const start = (): Form => ({ preset: 'metro', source: 'decoy', distance: '10', eve: '0', attack: 'intercept', automatic: true, pulses: '5e7', seed: '' });

/** Single photons cannot be split. */
export function attacksOf(source: QuantumSource): Attack[] {
  return source === 'decoy' ? ['intercept', 'breidbart', 'pns'] : ['intercept', 'breidbart'];
}

/** A number as people write it: "12.5", "12,5", "5e7"; null for anything else. */
export function numberOf(text: string): number | null {
  const plain = text.trim().replace(/[\s_’']/g, '');
  if (!/^-?(\d+([.,]\d+)?|[.,]\d+)(e[+-]?\d+)?$/i.test(plain)) return null;
  // A comma before three digits stands between thousands in one language, and for a point in others.
  if (/,\d{3}$/.test(plain)) return null;
  const value = Number(plain.replace(',', '.'));
  return Number.isFinite(value) ? value : null;
}

export function pulsesOf(text: string): number | null {
  const value = numberOf(/^\d{1,3}(,\d{3})+$/.test(text.trim()) ? text.replaceAll(',', '') : text);
  return value !== null && Number.isSafeInteger(value) && value >= 1 ? value : null;
}

export type Errors = Partial<Record<keyof QuantumExperiment, string>>;

/** The experiment, or what is wrong with single values. What is out of range the server says. */
export function asked(form: Form): { body: QuantumExperiment; errors: Errors } {
  const errors: Errors = {};
  const distance = numberOf(form.distance);
  if (distance === null) errors.distance_km = t('quantum.lab.notNumber');
  const share = numberOf(form.eve);
  if (share === null || share < 0 || share > 100) errors.eve = t('quantum.lab.notPercent');
  const pulses = pulsesOf(form.pulses);
  if (!form.automatic && pulses === null) errors.pulses = t('quantum.lab.notPulses');
  return {
    body: {
      preset: form.preset,
      source: form.source,
      distance_km: distance ?? 0,
      ...(share ? { eve: share / 100, attack: form.attack } : {}),
      ...(form.automatic || pulses === null ? {} : { pulses }),
      ...(form.seed ? { seed: form.seed } : {}),
    },
    errors,
  };
}

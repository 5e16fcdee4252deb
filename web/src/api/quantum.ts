import {
  experimentQuantum, getQuantumRates, getQuantumSession, listEavesdroppers, listQuantumPools, listQuantumSessions, putEavesdropper,
  removeEavesdropper, startQuantumSession,
  type QuantumAttack, type QuantumCurve, type QuantumEavesdropper, type QuantumEavesdropperList, type QuantumExperiment, type QuantumPerson, type QuantumPool, type QuantumPoolList, type QuantumRate, type QuantumRates,
  type QuantumSession, type QuantumSessionList, type QuantumSource,
} from './generated';

/** Sessions for quantum keys, all of them simulated. All of these throw a Problem. */

export type { QuantumCurve, QuantumEavesdropper, QuantumExperiment, QuantumPerson, QuantumPool, QuantumRate, QuantumRates, QuantumSession, QuantumSource };

export type Attack = QuantumAttack;
/** Why a session was aborted; empty where it was not. */
export type Reason = '' | 'few' | 'qber' | 'length' | 'verification';
export type StepName = 'detected' | 'sifted' | 'estimated' | 'reconciled' | 'verified' | 'amplified';

export interface Step {
  name: StepName;
  left: number;
  /** Messages and bytes that both sides had sent by then. */
  messages: number;
  bytes: number;
  /** Since the step before; absent in the laboratory, which has no clock. */
  elapsed_ns?: number;
}

export interface Pulse {
  number: number;
  alice_basis: 'X' | 'Z';
  alice_bit?: 0 | 1;
  /** The place among the intensities; 0 for single photons. */
  intensity: number;
  photons: number;
  eve?: string;
  eve_bit?: 0 | 1;
  bob_basis: 'X' | 'Z';
  bob_bit?: 0 | 1;
  detected: boolean;
  double?: boolean;
  after_pulse?: boolean;
  use: 'lost' | 'discarded' | 'test' | 'key';
}

interface Traffic {
  messages: number;
  bytes: number;
  tags: number;
}

/** What a session came to: what `stonevault qkd run --json` prints. */
export interface Result {
  mode: 'simulated';
  source: QuantumSource;
  aborted: boolean;
  reason: Reason;
  pulses: number;
  detected: number;
  sifted: number;
  tested: number;
  key_sifted: number;
  qber: number;
  qber_low: number;
  qber_high: number;
  errors: number;
  compared: number;
  estimated_qber: number;
  parities: number;
  f_ec: number;
  leak_bits: number;
  secret_bits: number;
  auth_bits: number;
  key_bits: number;
  seconds: number;
  alice: Traffic;
  bob: Traffic;
  steps: Step[];
  double_clicks: number;
  decoy_bounds?: { s_x0: number; s_x1: number; phi_x: number };
  single_bounds?: { phase_rate: number };
  setup: {
    mu: [number, number, number];
    p: [number, number, number];
    key_basis: number;
    eps_sec: number;
    eps_cor: number;
    channel: { distance_km: number; loss_db_km: number; efficiency: number; dark_count: number; after_pulse: number; misalignment: number };
    eve: { attack?: Attack; fraction: number };
    pulse_rate: number;
  };
  eve?: { attack: Attack; touched: number; certain: number; right: number; bits: number };
  first_pulses?: Pulse[];
}

/** A session as its page shows it. */
export type Session = Omit<QuantumSession, 'result'> & { result?: Result };

const pageSize = 15;

/** Runs an experiment; one runs at once in a server, and this waits for its turn. */
export async function experiment(what: QuantumExperiment, signal: AbortSignal): Promise<Result> {
  return (await experimentQuantum({ body: what, signal })).data as unknown as Result;
}

export async function ratesOf(source: QuantumSource): Promise<QuantumRates> {
  return (await getQuantumRates({ query: { source } })).data as QuantumRates;
}

export async function quantumSessionPage(cursor?: string): Promise<QuantumSessionList> {
  return (await listQuantumSessions({ query: { limit: pageSize, ...(cursor ? { cursor } : {}) } })).data as QuantumSessionList;
}

export async function quantumSession(id: string): Promise<Session> {
  return (await getQuantumSession({ path: { id } })).data as unknown as Session;
}

/** Runs a session with the person of this name, and answers when it has ended. */
export async function startWith(name: string): Promise<Session> {
  return (await startQuantumSession({ body: { with: name } })).data as unknown as Session;
}

export async function poolPage(cursor?: string): Promise<QuantumPoolList> {
  return (await listQuantumPools({ query: { limit: 50, ...(cursor ? { cursor } : {}) } })).data as QuantumPoolList;
}

export async function eavesdropperPage(cursor?: string): Promise<QuantumEavesdropperList> {
  return (await listEavesdroppers({ query: { limit: 50, ...(cursor ? { cursor } : {}) } })).data as QuantumEavesdropperList;
}

/** Puts a simulated eavesdropper between two people, by their ids, or changes what she does. For admins. */
export async function eavesdrop(person: string, other: string, attack: Attack, share: number): Promise<void> {
  await putEavesdropper({ path: { person, other }, body: { attack, share } });
}

export async function stopEavesdropping(person: string, other: string): Promise<void> {
  await removeEavesdropper({ path: { person, other } });
}

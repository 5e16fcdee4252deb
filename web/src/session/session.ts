import { computed, reactive, readonly } from 'vue';
import { getMe, getVault, signIn as postSession, signOut as deleteSession, type Profile, type Vault } from '../api/generated';
import { setupState } from '../api/vault';
import { asProblem, type Problem } from '../api/problem';
import { bare, forgetSession, maybeSignedIn, noteSession, onSessionEnd } from '../api/transport';
import { browserName } from './device';

/** Who is signed in, and what the server is waiting for. */
interface State {
  phase: 'starting' | 'setup' | 'signed-out' | 'signed-in' | 'unreachable';
  me: Profile | null;
  vault: Vault | null;
  recoveryConfirmed: boolean;
  /** The session ended by itself, with this problem. */
  ended: Problem | null;
  /** Why the server could not be asked. */
  problem: Problem | null;
}

const state = reactive<State>({ phase: 'starting', me: null, vault: null, recoveryConfirmed: true, ended: null, problem: null });

export const session = readonly(state);
export const isAdmin = computed(() => state.me?.role === 'admin');

type Listener = (now: 'signed-in' | 'ended' | 'signed-out') => void;
const listeners: Listener[] = [];

/** Calls back when somebody has signed in, when the session has ended by itself, and on signing out. */
export function onSession(listener: Listener): void {
  listeners.push(listener);
}

function tell(now: Parameters<Listener>[0]): void {
  for (const listener of listeners) listener(now);
}

async function enter(): Promise<void> {
  const [me, vault, setup] = await Promise.all([getMe(), getVault(), setupState()]);
  state.me = me.data as Profile;
  state.vault = vault.data as Vault;
  state.recoveryConfirmed = setup.recovery_confirmed;
  state.ended = null;
  state.phase = 'signed-in';
  tell('signed-in');
}

/** Finds out how things stand. Called once before the first page, and to try again. */
export async function start(): Promise<void> {
  state.problem = null;
  try {
    if (maybeSignedIn()) {
      try {
        return await enter();
      } catch (error) {
        if (asProblem(error).status !== 401) throw error;
      }
    }
    state.phase = (await setupState()).needed ? 'setup' : 'signed-out';
  } catch (error) {
    state.problem = asProblem(error);
    state.phase = 'unreachable';
  }
}

export async function signIn(name: string, password: string): Promise<void> {
  const { data, response } = await postSession({ body: { name, password, client: deviceName(), cookies: true }, ...bare });
  noteSession(data as { access_expires_at: string }, response);
  await enter();
}

export async function signOut(): Promise<void> {
  tell('signed-out');
  try {
    await deleteSession();
  } catch (error) {
    if (asProblem(error).status !== 401) throw error;
  }
  forgetSession();
  state.me = null;
  state.phase = 'signed-out';
}

export function noteRecoveryConfirmed(): void {
  state.recoveryConfirmed = true;
}

onSessionEnd((problem) => {
  if (state.phase !== 'signed-in') return;
  state.ended = problem;
  state.phase = 'signed-out';
  tell('ended');
});

/** What the list of sessions calls this browser. */
const deviceName = (): string => browserName(navigator.userAgent);

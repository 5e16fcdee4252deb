import { computed, reactive, readonly } from 'vue';
import { getMe, getVault, signIn as postSession, signOut as deleteSession, type Profile, type Session, type Vault } from '../api/generated';
import { setupState } from '../api/vault';
import { asProblem, type Problem } from '../api/problem';
import { bare, forgetSession, maybeSignedIn, noteSession, onEnrolFirst, onSessionEnd, renewOrEnd } from '../api/transport';
import { browserName } from './device';

/** Who is signed in, and what the server is waiting for. */
interface State {
  /** `enrol` is a session that may do nothing but set up a second factor. */
  phase: 'starting' | 'setup' | 'signed-out' | 'enrol' | 'signed-in' | 'unreachable';
  me: Profile | null;
  /** The account's name that was typed last, here or with a link. */
  name: string;
  vault: Vault | null;
  recoveryConfirmed: boolean;
  /** Strangers may make accounts for themselves. */
  registrationOpen: boolean;
  /** The session ended by itself, with this problem. */
  ended: Problem | null;
  /** Why the server could not be asked. */
  problem: Problem | null;
}

const state = reactive<State>({ phase: 'starting', me: null, name: '', vault: null, recoveryConfirmed: true, registrationOpen: false, ended: null, problem: null });

export const session = readonly(state);
export const isAdmin = computed(() => state.me?.role === 'admin');
export const isManager = computed(() => state.me?.role === 'manager');

type Listener = (now: 'signed-in' | 'ended' | 'signed-out') => void;
const listeners: Listener[] = [];

/** Calls back when somebody has signed in, when the session has ended by itself, and on signing out. */
export function onSession(listener: Listener): void {
  listeners.push(listener);
}

function tell(now: Parameters<Listener>[0]): void {
  for (const listener of listeners) listener(now);
}

/** That a second factor is missing is kept with the session: another page of it begins in the right place. */
const enrolKey = 'stonevault.enrol';

async function enter(): Promise<void> {
  localStorage.removeItem(enrolKey);
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
    if (maybeSignedIn() && localStorage.getItem(enrolKey)) {
      state.phase = 'enrol';
      return;
    }
    if (maybeSignedIn()) {
      try {
        return await enter();
      } catch (error) {
        if (asProblem(error).status !== 401) throw error;
      }
    }
    const { needed, registration_open: open = false } = await setupState();
    state.registrationOpen = open;
    state.phase = needed ? 'setup' : 'signed-out';
  } catch (error) {
    state.problem = asProblem(error);
    state.phase = 'unreachable';
  }
}

/** `code` is the second factor, where the server has asked for one. */
export async function signIn(name: string, password: string, code = ''): Promise<void> {
  const { data, response } = await postSession({ body: { name, password, client: deviceName(), cookies: true, ...(code ? { code } : {}) }, ...bare });
  const { enrol, ...opened } = data as Session;
  noteSession(opened, response);
  state.name = name;
  if (enrol) enrolFirst();
  else await enter();
}

/** The second factor that was missing is there: the session may do everything now. */
export async function enrolled(): Promise<void> {
  await renewOrEnd();
  await enter();
}

/** Says who will sign in next: somebody who has just set a password. */
export function expect(name: string): void {
  state.name = name;
}

/** Asks again who one is, after something about it has changed. */
export async function refreshMe(): Promise<void> {
  state.me = (await getMe()).data as Profile;
}

export async function signOut(): Promise<void> {
  tell('signed-out');
  try {
    await deleteSession();
  } catch (error) {
    if (asProblem(error).status !== 401) throw error;
  }
  forgetSession();
  localStorage.removeItem(enrolKey);
  state.me = null;
  state.name = '';
  state.ended = null;
  state.phase = 'signed-out';
}

export function noteRecoveryConfirmed(): void {
  state.recoveryConfirmed = true;
}

function enrolFirst(): void {
  localStorage.setItem(enrolKey, 'yes');
  state.phase = 'enrol';
}
onEnrolFirst(enrolFirst);

onSessionEnd((problem) => {
  if (state.phase !== 'signed-in' && state.phase !== 'enrol') return;
  localStorage.removeItem(enrolKey);
  state.ended = problem;
  state.phase = 'signed-out';
  tell('ended');
});

/** What the list of sessions calls this browser. */
const deviceName = (): string => browserName(navigator.userAgent);

import { client } from './generated/client.gen';
import { asProblem, networkProblem, problemFrom, type Problem } from './problem';

/**
 * How requests reach the server. The session lives in cookies that no script can read; what is kept here
 * is only until when the access cookie works, so that it is renewed before a download or an upload needs it.
 */

const deadlineKey = 'stonevault.access-until';
/** An access cookie that ends within this time is renewed first. */
const margin = 60_000;

let ended: (problem: Problem) => void = () => {};
let enrolFirst: () => void = () => {};

/** Tells whom to call when the session is over and only signing in again helps. */
export function onSessionEnd(call: (problem: Problem) => void): void {
  ended = call;
}

/** Tells whom to call when the session may do nothing before a second factor is set up. */
export function onEnrolFirst(call: () => void): void {
  enrolFirst = call;
}

function readDeadline(): number {
  return Number(localStorage.getItem(deadlineKey)) || 0;
}

/** Whether this browser has signed in and not out again. The server may think otherwise. */
export function maybeSignedIn(): boolean {
  return readDeadline() > 0;
}

export function forgetSession(): void {
  localStorage.removeItem(deadlineKey);
}

/** Notes until when the access cookie works, by this machine's clock, which may differ from the server's. */
export function noteSession(session: { access_expires_at: string }, response: Response): void {
  const sent = Date.parse(response.headers.get('Date') ?? '') || Date.now();
  const lasts = Date.parse(session.access_expires_at) - sent;
  localStorage.setItem(deadlineKey, String(Date.now() + Math.max(lasts, 1)));
}

let renewing: Promise<void> | null = null;

/** Renews the session, once for all who ask at the same time, in other tabs too. */
function renew(): Promise<void> {
  const before = readDeadline();
  renewing ??= exclusively(async () => {
    if (readDeadline() > before && readDeadline() > Date.now() + margin) return; // another tab did it
    const response = await fetch('/api/v1/sessions/refresh', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{"cookies":true}',
    });
    const body: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw problemFrom(response.status, body, (name) => response.headers.get(name));
    noteSession(body as { access_expires_at: string }, response);
  }).finally(() => (renewing = null));
  return renewing;
}

function exclusively(work: () => Promise<void>): Promise<void> {
  return navigator.locks ? navigator.locks.request('stonevault.renew', () => work()).then(() => undefined) : work();
}

/** Makes sure that the access cookie works for another while. Throws a Problem where it cannot. */
export async function freshen(): Promise<void> {
  if (readDeadline() > Date.now() + margin) return;
  await renewOrEnd();
}

/** Renews the session; where the server says that it is over, everybody is told. */
export async function renewOrEnd(): Promise<void> {
  try {
    await renew();
  } catch (error) {
    const problem = asProblem(error);
    if (problem.status === 401) {
      forgetSession();
      ended(problem);
    }
    throw problem;
  }
}

/** fetch, which renews the session before it ends and once more when the server does not take it. */
async function fetchWithSession(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  const again = request.clone();
  if (maybeSignedIn()) await freshen();
  const response = await fetch(request);
  if (response.status !== 401 || !maybeSignedIn()) return response;
  await renewOrEnd();
  return fetch(again);
}

client.setConfig({ baseUrl: '', fetch: fetchWithSession as typeof fetch, throwOnError: true });
client.interceptors.error.use((body, response) => {
  if (!response) return networkProblem();
  const problem = problemFrom(response.status, body, (name) => response.headers.get(name));
  if (problem.code === 'enrol-first') enrolFirst();
  return problem;
});

/** fetch without a session: for signing in and first run, where a 401 means a wrong word. */
export const bare = { fetch: ((input, init) => fetch(input, init)) as typeof fetch };

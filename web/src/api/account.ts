import {
  beginFactor, changeMe, changePassword, confirmFactor, createToken, drawRecoveryCodes, endSession, endSessions, getFactor, listSessions,
  listTokens, removeFactor, revokeToken,
  type ApiToken, type ApiTokenList, type Factor, type FactorSecret, type NewApiToken, type Profile, type RecoveryCodes, type Scope,
  type SessionEntry, type SessionList,
} from './generated';

/** How somebody signs in, and as whom: profile, password, second factor, sessions and API tokens. All of these throw a Problem. */

export type { ApiToken, Factor, FactorSecret, NewApiToken, Scope, SessionEntry };

/** The person whom a page is about, where that is who looks at it. */
export const me = 'me';
export const scopes: Scope[] = ['files:read', 'files:write', 'audit:read', 'admin'];

export async function changeProfile(displayName: string): Promise<Profile> {
  return (await changeMe({ body: { display_name: displayName } })).data as Profile;
}

/** All other sessions end with it. */
export async function setPassword(current: string, next: string): Promise<void> {
  await changePassword({ body: { current, new: next } });
}

export async function factorOf(person: string): Promise<Factor> {
  return (await getFactor({ path: { person } })).data as Factor;
}

export async function newFactor(): Promise<FactorSecret> {
  return (await beginFactor()).data as FactorSecret;
}

/** The first code makes it a factor. The recovery codes are shown this once. */
export async function confirmNewFactor(code: string): Promise<string[]> {
  return ((await confirmFactor({ body: { code } })).data as RecoveryCodes).recovery_codes;
}

export async function newRecoveryCodes(password: string): Promise<string[]> {
  return ((await drawRecoveryCodes({ body: { password } })).data as RecoveryCodes).recovery_codes;
}

/** Of oneself it takes the password. */
export async function takeFactor(person: string, password?: string): Promise<void> {
  await removeFactor({ path: { person }, body: password === undefined ? {} : { password } });
}

const pageSize = 100;

export async function sessionsOf(person: string): Promise<SessionEntry[]> {
  return whole(async (cursor) => (await listSessions({ path: { person }, query: { limit: pageSize, ...cursor } })).data as SessionList);
}

export async function endOne(person: string, session: string): Promise<void> {
  await endSession({ path: { person, session } });
}

/** Ends every session, or every other one where `keep` says so. */
export async function endAll(person: string, keep: boolean): Promise<void> {
  await endSessions({ path: { person }, query: keep ? { keep: 'current' } : {} });
}

export async function tokensOf(person: string): Promise<ApiToken[]> {
  return whole(async (cursor) => (await listTokens({ path: { person }, query: { limit: pageSize, ...cursor } })).data as ApiTokenList);
}

/** The token itself is in this answer alone. */
export async function newToken(name: string, what: Scope[], expires: Date): Promise<NewApiToken> {
  return (await createToken({ body: { name, scopes: what, expires_at: expires.toISOString() } })).data as NewApiToken;
}

export async function revoke(person: string, token: string): Promise<void> {
  await revokeToken({ path: { person, token } });
}

/** All pages of a list that is short. */
export async function whole<T>(page: (cursor: { cursor?: string }) => Promise<{ items: T[]; next_cursor?: string }>): Promise<T[]> {
  const all: T[] = [];
  for (let cursor: string | undefined, first = true; first || cursor; first = false) {
    const { items, next_cursor: next } = await page(cursor ? { cursor } : {});
    all.push(...items);
    cursor = next;
  }
  return all;
}

import { shallowRef } from 'vue';

/**
 * The secret of a one-time link. It stands behind `#`, which browsers send to no server, and it leaves the address
 * before anything else happens: it is in no history, no bookmark and no screenshot. From then on it lives in this
 * variable alone, and leaves in the body of a request.
 */
export const linkSecret = shallowRef('');

const pages = ['/join', '/reset'];

/** The secret in what stands behind `#`; empty where there is none. */
export function secretIn(hash: string): string {
  return /^#(svl_[\w-]{1,60})$/.exec(hash)?.[1] ?? '';
}

export function keepLink(hash: string): void {
  linkSecret.value = secretIn(hash);
}

/** What the address leads to once its secret is taken out; null where there is none to take. */
export function withoutSecret({ pathname, search, hash }: { pathname: string; search: string; hash: string }): string | null {
  return hash !== '' && pages.includes(pathname) ? pathname + search : null;
}

// Once, as the page begins, and before the router notes the address.
if (typeof location !== 'undefined') {
  const address = withoutSecret(location);
  if (address !== null) {
    keepLink(location.hash);
    history.replaceState(history.state, '', address);
  }
}

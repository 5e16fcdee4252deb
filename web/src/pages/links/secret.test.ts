import { describe, expect, it } from 'vitest';
import { keepLink, linkSecret, secretIn, withoutSecret } from './secret';

const secret = 'svl_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA-_A';

describe('a one-time link', () => {
  it.each([
    [`#${secret}`, secret],
    ['', ''],
    ['#', ''],
    ['#main', ''],
    ['#svl_', ''],
    [`#${secret}/../x`, ''],
    [`#x${secret}`, ''],
    [`#svl_${'A'.repeat(61)}`, ''],
  ])('has in %s the secret %s', (hash, wanted) => {
    keepLink(hash);
    expect(secretIn(hash)).toBe(wanted);
    expect(linkSecret.value).toBe(wanted);
  });

  it.each([
    ['/join', '', `#${secret}`, '/join'],
    ['/reset', '?a=b', `#${secret}`, '/reset?a=b'],
    ['/reset', '', '#something else', '/reset'],
    ['/join', '', '', null],
    ['/files/join', '', '#x', null],
    ['/', '', `#${secret}`, null],
  ])('at %s%s%s leaves the address %s', (pathname, search, hash, wanted) => {
    expect(withoutSecret({ pathname, search, hash })).toBe(wanted);
  });
});

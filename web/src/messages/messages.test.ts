import { describe, expect, it } from 'vitest';
import { en } from './en';
import { has, t } from './index';
import { formatDuration, formatSize, formatSpeed, formatTime, formatWait, shortFingerprint } from './format';
import { asProblem, networkProblem, pageProblem, problemFrom } from '../api/problem';

describe('messages', () => {
  it('put values in their places and choose the plural', () => {
    expect(t('files.select', { name: 'a {b}' })).toBe('Select a {b}');
    expect(t('files.selected', { n: 1 })).toBe('1 selected');
    expect(t('transfers.done', { n: 1 })).toBe('1 file uploaded');
    expect(t('transfers.done', { n: 1234 })).toBe('1,234 files uploaded');
    expect(t('files.select')).toBe('Select {name}');
  });

  it('know what there is', () => {
    expect(has('advice.exists')).toBe(true);
    for (const key of ['advice.nothing', 'advice', 'advice.exists.more', '', 'advice.constructor']) expect(has(key), key).toBe(false);
  });

  it('are sentences of one kind: no empty text, no straight quotes, no double spaces', () => {
    const walk = (value: unknown, path: string): void => {
      if (typeof value === 'string') {
        expect(value, path).not.toBe('');
        expect(value, path).not.toMatch(/["']|\s\s|^\s|\s$/);
        return;
      }
      for (const [name, child] of Object.entries(value as object)) walk(child, `${path}.${name}`);
    };
    walk(en, 'en');
  });
});

describe('formats', () => {
  it.each([
    [0, '0 bytes'], [1, '1 byte'], [999, '999 bytes'], [1000, '1 kB'], [1234, '1.2 kB'], [12_345, '12 kB'], [999_499, '999 kB'],
    [999_500, '1 MB'], [1_500_000, '1.5 MB'], [123_456_789, '123 MB'], [1e12, '1 TB'], [5e15, '5,000 TB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));

  it.each([
    [0, '1 sec'], [0.4, '1 sec'], [7, '7 sec'], [12, '10 sec'], [56, '55 sec'], [59, '1 min'], [60, '1 min'], [150, '3 min'],
    [3400, '1 hour'], [7200, '2 hours'], [86_400 * 2, '2 days'], [Infinity, 'a long time'], [1e9, 'a long time'],
  ])('%d seconds are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it.each([[1, '1 sec'], [42, '42 sec'], [99, '99 sec'], [100, '2 min'], [121, '3 min']])('%d seconds to wait are %s', (seconds, text) => expect(formatWait(seconds)).toBe(text));

  it('tells speed, time and fingerprints', () => {
    expect(formatSpeed(2_500_000.4)).toBe('2.5 MB/s');
    expect(formatTime('2024-03-05T12:00:00Z', new Date('2026-01-01T00:00:00Z'))).toBe('Mar 5, 2024');
    expect(formatTime(undefined)).toBe('');
    expect(shortFingerprint('0123456789abcdef0123456789abcdef')).toBe('01234567…89abcdef');
  });
});

describe('problems', () => {
  const header = (name: string): string | null => (name === 'X-Request-Id' ? 'from-header' : name === 'Retry-After' ? '7' : null);

  it('are read from the server’s documents', () => {
    const problem = problemFrom(409, { type: '/problems/exists', title: 'There', status: 409, detail: 'It is there.', request_id: 'abc' }, header);
    expect(problem).toMatchObject({ code: 'exists', status: 409, message: en.said.exists, requestId: 'abc', retryAfter: 7, temporary: false });
    expect(problem.advice).toBe(en.advice.exists);
    // What the page has no words of its own for, it takes from the server.
    const invalid = '{"type":"/problems/invalid","title":"Values","detail":"password is too short."}';
    expect(problemFrom(422, invalid, header)).toMatchObject({ code: 'invalid', message: 'Password is too short.', requestId: 'from-header' });
    const field = '{"type":"/problems/invalid","title":"Values","detail":"password is too short.","errors":[{"field":"password","reason":"is too short"}]}';
    expect(problemFrom(422, field, header).fields).toEqual({ password: 'It is too short.' });
    expect(problemFrom(422, '{"errors":"none"}', header).fields).toEqual({});
    expect(problemFrom(418, '{"type":"/problems/teapot","title":"A teapot"}', header)).toMatchObject({ code: 'teapot', message: 'A teapot', advice: en.advice.other });
  });

  it('make the best of any other answer', () => {
    for (const body of ['<html>Bad gateway</html>', undefined, null, '', {}, 'null']) {
      expect(problemFrom(502, body, header)).toMatchObject({ code: 'status-502', status: 502, requestId: 'from-header', temporary: true });
    }
    expect(networkProblem()).toMatchObject({ code: 'network', temporary: true });
    expect(asProblem(new Error('x is not a function'))).toMatchObject({ message: 'Something went wrong in this page: x is not a function', advice: en.advice.unexpected, temporary: false });
    expect(asProblem(pageProblem('Type it again.'))).toMatchObject({ message: 'Type it again.', advice: '', temporary: false });
  });
});

import { describe, expect, it } from 'vitest';
import { amountOf, bytesOf, countOf, shareOf, type Amount } from './limits';

describe('limits', () => {
  it.each([
    [undefined, { number: '', unit: 'GB' }],
    [0, { number: '0', unit: 'MB' }],
    [500_000, { number: '0.5', unit: 'MB' }],
    [5e9, { number: '5', unit: 'GB' }],
    [1_500_000_000, { number: '1.5', unit: 'GB' }],
    [2e12, { number: '2', unit: 'TB' }],
    [1_234_567_890, { number: '1234.56789', unit: 'MB' }],
    [1, { number: '0.000001', unit: 'MB' }],
  ] as [number | undefined, Amount][])('%s bytes are written and read again', (bytes, amount) => {
    expect(amountOf(bytes)).toEqual(amount);
    expect(bytesOf(amount)).toBe(bytes);
  });

  it.each(['-1', 'x', '1e9', '1.2.3', '99999999999'])('%s is no amount', (number) => expect(bytesOf({ number, unit: 'TB' })).toBe(null));
  it('takes a comma', () => expect(bytesOf({ number: ' 1,5 ', unit: 'MB' })).toBe(1_500_000));

  it.each([['', undefined], [' 12 ', 12], ['0', 0], ['1.5', null], ['-1', null], ['many', null]] as [string, number | undefined | null][])('“%s” files', (text, wanted) =>
    expect(countOf(text)).toBe(wanted));

  it('tells what is used', () => {
    expect(shareOf(5, undefined)).toBe(null);
    expect(shareOf(5, 10)).toBe(0.5);
    expect(shareOf(15, 10)).toBe(1);
    expect(shareOf(0, 0)).toBe(1);
  });
});

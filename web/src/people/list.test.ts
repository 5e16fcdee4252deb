import { describe, expect, it } from 'vitest';
import { useList, type ListPage } from './list';

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** A list of n numbers in pages of ten. */
const pages = (n: number) => async (cursor?: string): Promise<ListPage<number>> => {
  const from = Number(cursor ?? 0);
  const to = Math.min(n, from + 10);
  return { items: numbers(from, to), ...(to < n ? { next_cursor: String(to) } : {}) };
};

describe('a list', () => {
  it('goes on page by page, and is asked for again as far as it was shown', async () => {
    const list = useList<number>();
    expect(list.fresh).toBe(true);
    await list.show(pages(25));
    expect(list).toMatchObject({ fresh: false, items: numbers(0, 10), next: '10', loading: false });
    await list.more();
    expect(list.items).toEqual(numbers(0, 20));
    await list.load();
    expect(list).toMatchObject({ items: numbers(0, 20), next: '20' });
    await list.more();
    expect(list).toMatchObject({ items: numbers(0, 25), next: '' });
    await list.more();
    expect(list.items).toEqual(numbers(0, 25));
  });

  it('throws away an answer that comes after a later question', async () => {
    const list = useList<number>();
    let answer: (page: ListPage<number>) => void = () => {};
    const slow = list.show(() => new Promise((resolve) => (answer = resolve)));
    await list.show(pages(3));
    answer({ items: [99] });
    await slow;
    expect(list.items).toEqual([0, 1, 2]);
  });

  it('keeps what it had when something fails, and says so', async () => {
    const list = useList<number>();
    await list.show(pages(15));
    const failing = new Error('no');
    await list.show(() => Promise.reject(failing));
    expect(list).toMatchObject({ items: numbers(0, 10), error: failing, loading: false });
    await list.show(pages(5));
    expect(list).toMatchObject({ items: numbers(0, 5), error: null });
  });
});

import { reactive } from 'vue';

export interface ListPage<T> {
  items: T[];
  next_cursor?: string;
}
type Ask<T> = (cursor?: string) => Promise<ListPage<T>>;

/** A list of the server's, page by page. */
export class List<T> {
  items: T[] = [];
  next = '';
  /** Nothing is known yet of what shall be shown. */
  fresh = true;
  loading = false;
  error: unknown = null;
  private asked = 0;
  private ask: Ask<T> | null = null;

  /** Shows another list from its beginning. What was there stays until the answer comes. */
  async show(ask: Ask<T>): Promise<void> {
    this.ask = ask;
    await this.fetch(async () => ask());
  }

  /** Fetches from the beginning as much as was there, so that what people look at stays where it is. */
  async load(): Promise<void> {
    const { ask } = this;
    const wanted = this.items.length;
    if (!ask) return;
    await this.fetch(async (current) => {
      let page = await ask();
      const { items } = page;
      while (page.next_cursor && items.length < wanted && current()) {
        page = await ask(page.next_cursor);
        items.push(...page.items);
      }
      return { items, ...(page.next_cursor ? { next_cursor: page.next_cursor } : {}) };
    });
  }

  async more(): Promise<void> {
    const { ask, next } = this;
    if (!ask || !next || this.loading) return;
    await this.fetch(async () => {
      const page = await ask(next);
      return { ...page, items: [...this.items, ...page.items] };
    });
  }

  /** An answer that comes after a later question is thrown away. */
  private async fetch(work: (current: () => boolean) => Promise<ListPage<T>>): Promise<void> {
    const ticket = ++this.asked;
    const current = (): boolean => ticket === this.asked;
    this.loading = true;
    this.error = null;
    try {
      const page = await work(current);
      if (!current()) return;
      this.items = page.items;
      this.next = page.next_cursor ?? '';
      this.fresh = false;
    } catch (error) {
      if (current()) this.error = error;
    } finally {
      if (current()) this.loading = false;
    }
  }
}

export function useList<T>(): List<T> {
  return reactive(new List<T>()) as List<T>;
}

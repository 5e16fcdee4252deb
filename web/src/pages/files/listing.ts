import { reactive } from 'vue';
import { Problem } from '../../api/problem';
import { findPage, listPage, type Cursor, type Entry, type Page, type Sort, type SortField } from '../../api/vault';

const key = 'stonevault.sort';
const fields: SortField[] = ['name', 'size', 'modified_at'];

function storedSort(): Sort {
  const text = localStorage.getItem(key) ?? '';
  const field = fields.find((name) => name === text.replace(/^-/, ''));
  return field ? { field, descending: text.startsWith('-') } : { field: 'name', descending: false };
}

/** A folder, or what was found in it and below, page by page. */
export class Listing {
  folder = '/';
  contains = '';
  sort = storedSort();
  items: Entry[] = [];
  next: Cursor | null = null;
  /** Nothing is known yet of what shall be shown. */
  fresh = true;
  loading = false;
  error: unknown = null;
  private asked = 0;

  /** There is no such folder, or none that this person may see. */
  get gone(): boolean {
    return this.error instanceof Problem && this.error.code === 'not-found';
  }

  show(folder: string, contains = ''): void {
    this.folder = folder;
    this.contains = contains;
    this.items = [];
    this.next = null;
    this.fresh = true;
    void this.load();
  }

  sortBy(field: SortField): void {
    this.sort = { field, descending: this.sort.field === field ? !this.sort.descending : field !== 'name' };
    localStorage.setItem(key, (this.sort.descending ? '-' : '') + this.sort.field);
    this.items = [];
    void this.load();
  }

  /** Fetches from the beginning as much as was there, so that what people look at stays where it is. */
  async load(): Promise<void> {
    const wanted = this.items.length;
    await this.fetch(async (current) => {
      let page = await this.page();
      const items = page.items;
      while (page.next && items.length < wanted && current()) {
        page = await this.page(page.next);
        items.push(...page.items);
      }
      return { items, next: page.next };
    });
  }

  async more(): Promise<void> {
    const { next } = this;
    if (!next || this.loading) return;
    await this.fetch(async () => {
      const page = await this.page(next);
      return { items: [...this.items, ...page.items], next: page.next };
    });
  }

  private page(from?: Cursor): Promise<Page> {
    return this.contains ? findPage(this.folder, this.contains, from) : listPage(this.folder, this.sort, from);
  }

  /** An answer that comes after a later question is thrown away. */
  private async fetch(work: (current: () => boolean) => Promise<{ items: Entry[]; next: Cursor | null }>): Promise<void> {
    const ticket = ++this.asked;
    const current = (): boolean => ticket === this.asked;
    this.loading = true;
    this.error = null;
    try {
      const { items, next } = await work(current);
      if (!current()) return;
      this.items = items;
      this.next = next;
      this.fresh = false;
    } catch (error) {
      if (current()) this.error = error;
    } finally {
      if (current()) this.loading = false;
    }
  }
}

export function useListing(): Listing {
  return reactive(new Listing()) as Listing;
}

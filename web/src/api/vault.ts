import {
  cancelUpload, confirmRecovery, deleteFile, findFiles, getFile, getSetup, listFiles, listUploads, listVersions, lookupFile, makeFolder,
  moveFile, setUp, verifyFile,
  type File, type FileList, type SetupSheet, type SetupState, type Upload, type UploadList, type VerifyReport,
} from './generated';
import { bare } from './transport';

/** The API as the page uses it: one function for each thing that people do. All of them throw a Problem. */

export type Entry = File;
export type SortField = 'name' | 'size' | 'modified_at';
export interface Sort {
  field: SortField;
  descending: boolean;
}

export async function setupState(): Promise<SetupState> {
  return (await getSetup(bare)).data as SetupState;
}

export async function setUpVault(code: string, name: string, password: string): Promise<SetupSheet> {
  return (await setUp({ body: { code, name, password }, ...bare })).data as SetupSheet;
}

export async function confirmSheet(secret: string): Promise<void> {
  await confirmRecovery({ body: { secret } });
}

const pageSize = 100;

/** A part of a list, and where the next part begins. */
export interface Page {
  items: Entry[];
  next: Cursor | null;
}
export interface Cursor {
  kind?: 'folder' | 'file';
  cursor?: string;
}

/** One page of a folder: folders first and then files. Where the folders end, the first files follow. */
export async function listPage(folder: string, sort: Sort, from: Cursor = { kind: 'folder' }): Promise<Page> {
  const field = from.kind === 'folder' && sort.field !== 'name' ? 'name' : sort.field;
  const query = {
    folder,
    kind: from.kind,
    limit: pageSize,
    sort: (sort.descending && field === sort.field ? '-' : '') + field,
    ...(from.cursor ? { cursor: from.cursor } : {}),
  };
  const { items, next_cursor: cursor } = (await listFiles({ query })).data as FileList;
  if (cursor) return { items, next: { kind: from.kind, cursor } };
  if (from.kind === 'file') return { items, next: null };
  const files = await listPage(folder, sort, { kind: 'file' });
  return { items: [...items, ...files.items], next: files.next };
}

/** One page of what is found in a folder and below it, in the order of paths. */
export async function findPage(folder: string, contains: string, from: Cursor = {}): Promise<Page> {
  const items: Entry[] = [];
  let { cursor } = from;
  // The server may look through much and find nothing yet.
  do {
    const query = { folder, name_contains: contains, limit: pageSize, ...(cursor ? { cursor } : {}) };
    const page = (await findFiles({ query })).data as FileList;
    items.push(...page.items);
    cursor = page.next_cursor;
  } while (cursor && items.length < pageSize / 2);
  return { items, next: cursor ? { cursor } : null };
}

export async function stat(id: string): Promise<Entry> {
  return (await getFile({ path: { id } })).data as Entry;
}

export async function lookup(path: string): Promise<Entry> {
  return (await lookupFile({ query: { path } })).data as Entry;
}

export async function move(entry: Entry, path: string): Promise<Entry> {
  const headers = entry.etag ? { 'If-Match': entry.etag } : {};
  return (await moveFile({ path: { id: entry.id }, body: { path }, headers })).data as Entry;
}

/** Removes a file with its versions, or a folder with everything in it. */
export async function remove(entry: Entry): Promise<void> {
  await deleteFile({ path: { id: entry.id }, ...(entry.kind === 'folder' ? { query: { recursive: true } } : {}) });
}

export async function newFolder(path: string): Promise<void> {
  await makeFolder({ body: { path } });
}

export async function versions(id: string): Promise<Entry[]> {
  return ((await listVersions({ path: { id } })).data as FileList).items;
}

/** Has the server read all of a file and compare it with what was sealed. */
export async function verify(id: string, version?: number): Promise<VerifyReport> {
  return (await verifyFile({ path: { id }, ...(version ? { query: { version } } : {}) })).data as VerifyReport;
}

/** All files among these entries and below them. */
export async function* filesIn(entries: Entry[]): AsyncGenerator<Entry> {
  for (const entry of entries) {
    if (entry.kind === 'file') {
      yield entry;
      continue;
    }
    for (let cursor: string | undefined, first = true; first || cursor; first = false) {
      const query = { folder: entry.path, kind: 'file' as const, limit: pageSize, ...(cursor ? { cursor } : {}) };
      const page = (await findFiles({ query })).data as FileList;
      yield* page.items;
      cursor = page.next_cursor;
    }
  }
}

export async function pendingUploads(): Promise<Upload[]> {
  return ((await listUploads()).data as UploadList).items;
}

export async function discardUpload(id: string): Promise<void> {
  await cancelUpload({ path: { id }, headers: { 'Tus-Resumable': '1.0.0' } });
}

export const uploadsUrl = '/api/v1/uploads';

export function contentUrl(id: string, version?: number): string {
  return `/api/v1/files/${id}/content${version ? `?version=${version}` : ''}`;
}

/** Files and folders as one zip. */
export function archiveUrl(paths: string[]): string {
  return `/api/v1/archive?${paths.map((path) => `path=${encodeURIComponent(path)}`).join('&')}`;
}

import { client } from './generated/client.gen';
import {
  deleteFile, getFile, listFiles, listVersions, lookupFile, moveFile, verifyFile,
  type File, type FileList, type VerifyReport,
} from './generated';
import { bare } from './transport';

/** The API as the page uses it: one function for each thing that people do. All of them throw a Problem. */

export type Entry = File;
export type SortField = 'name' | 'size' | 'modified_at';
export interface Sort {
  field: SortField;
  descending: boolean;
}

export interface Setup {
  needed: boolean;
  recovery_confirmed: boolean;
}

export interface PendingUpload {
  id: string;
  path: string;
  offset: number;
  size?: number;
  expires_at: string;
}

const json = { headers: { 'Content-Type': 'application/json' } };

export async function getSetup(): Promise<Setup> {
  return (await client.get({ url: '/api/v1/setup', ...bare })).data as Setup;
}

export async function setUp(code: string, name: string, password: string): Promise<{ recovery_secret: string }> {
  const reply = await client.post({ url: '/api/v1/setup', ...json, body: { code, name, password }, ...bare });
  return reply.data as { recovery_secret: string };
}

export async function confirmRecovery(secret: string): Promise<void> {
  await client.post({ url: '/api/v1/setup/recovery', ...json, body: { secret } });
}

const pageSize = 100;

/** A part of a list, and where the next part begins. */
export interface Page {
  items: Entry[];
  next: Cursor | null;
}
export interface Cursor {
  kind: 'folder' | 'file';
  cursor?: string;
}

/**
 * One page of a folder, or of what is found in it and below: folders first and then files, each in order.
 * Where the folders end within a page, the first files follow.
 */
export async function listPage(folder: string, sort: Sort, contains: string, from: Cursor = { kind: 'folder' }): Promise<Page> {
  const field = from.kind === 'folder' && sort.field !== 'name' ? 'name' : sort.field;
  const query = {
    folder,
    kind: from.kind,
    limit: pageSize,
    sort: (sort.descending && field === sort.field ? '-' : '') + field,
    ...(from.cursor ? { cursor: from.cursor } : {}),
    ...(contains ? { name_contains: contains } : {}),
  };
  const reply = contains ? await client.get({ url: '/api/v1/find', query }) : await listFiles({ query });
  const { items, next_cursor: cursor } = reply.data as FileList;
  if (cursor) return { items, next: { kind: from.kind, cursor } };
  if (from.kind === 'file') return { items, next: null };
  const files = await listPage(folder, sort, contains, { kind: 'file' });
  return { items: [...items, ...files.items], next: files.next };
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
  if (entry.kind === 'file') await deleteFile({ path: { id: entry.id } });
  else await client.delete({ url: '/api/v1/files/{id}', path: { id: entry.id }, query: { recursive: true } });
}

export async function makeFolder(path: string): Promise<void> {
  await client.post({ url: '/api/v1/folders', ...json, body: { path } });
}

export async function versions(id: string): Promise<Entry[]> {
  return ((await listVersions({ path: { id } })).data as FileList).items;
}

export async function verify(id: string): Promise<VerifyReport> {
  return (await verifyFile({ path: { id } })).data as VerifyReport;
}

export async function pendingUploads(): Promise<PendingUpload[]> {
  return ((await client.get({ url: '/api/v1/uploads' })).data as { items: PendingUpload[] }).items;
}

export async function discardUpload(id: string): Promise<void> {
  await client.delete({ url: '/api/v1/uploads/{id}', path: { id }, headers: { 'Tus-Resumable': '1.0.0' } });
}

export const uploadsUrl = '/api/v1/uploads';

export function contentUrl(id: string, version?: number): string {
  return `/api/v1/files/${id}/content${version ? `?version=${version}` : ''}`;
}

/** Files and folders as one zip. */
export function archiveUrl(paths: string[]): string {
  return `/api/v1/archive?${paths.map((path) => `path=${encodeURIComponent(path)}`).join('&')}`;
}

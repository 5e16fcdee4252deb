import { defaultOptions, DetailedError, Upload, type PreviousUpload } from 'tus-js-client';
import { asProblem, networkProblem, pageProblem, Problem, problemFrom } from '../api/problem';
import { freshen, renewOrEnd } from '../api/transport';
import { discardUpload, uploadsUrl } from '../api/vault';
import { t } from '../messages';
import { session } from '../session/session';
import type { Item, Send } from './queue';

/** Sends an item by tus 1.0, and finds what an earlier page left unfinished. */

/** One request carries at most this much, so that a proxy that collects whole requests does no harm. */
const chunkSize = 64 << 20;
/** A file up to this size goes in one request; a larger one can be continued from its first byte on. */
export const inOneRequest = 1 << 20;

interface Remembered {
  upload: Upload;
  /** What the upload was created for; where that has changed, it must be created again. */
  target: string;
}
const uploads = new WeakMap<object, Remembered>();

function target(item: Item): string {
  return JSON.stringify([item.path, item.replace]);
}

/**
 * Whose file it is and where it goes. A browser never tells where a file lies, so the same name, size and
 * time of change at the same place in the vault are taken for the same file.
 */
function fingerprint(item: Item): string {
  return JSON.stringify([session.me?.id, item.path, item.size, item.file.lastModified, item.file.type]);
}

function toProblem(error: unknown): Problem {
  if (error instanceof DetailedError) {
    if (error.causingError instanceof Problem) return error.causingError;
    const response = error.originalResponse;
    if (response) return problemFrom(response.getStatus(), response.getBody(), (name) => response.getHeader(name));
    return networkProblem();
  }
  return asProblem(error);
}

/** Browsers report a file that has changed since it was chosen as if the network had failed. */
async function reasonOf(error: unknown, file: Blob): Promise<Problem> {
  const problem = toProblem(error);
  if (problem.code !== 'network') return problem;
  try {
    await file.slice(0, 1).arrayBuffer();
    return problem;
  } catch {
    return pageProblem(t('transfers.unreadable'));
  }
}

function metadata(item: Item): Record<string, string> {
  return {
    path: item.path,
    modified_at: new Date(item.file.lastModified).toISOString(),
    ...(item.file.type ? { filetype: item.file.type } : {}),
    ...(item.replace ? { replace: 'true' } : {}),
  };
}

export const sendByTus: Send = (item, events) => {
  let stopped = false;
  claim(item);
  const known = uploads.get(item.file);
  let upload: Upload;
  const options = {
    endpoint: uploadsUrl,
    chunkSize,
    retryDelays: null, // the queue knows when to try again
    metadata: metadata(item),
    uploadDataDuringCreation: item.size <= inOneRequest,
    fingerprint: () => Promise.resolve(fingerprint(item)),
    removeFingerprintOnSuccess: true,
    onBeforeRequest: () => freshen(),
    onAfterResponse: async (_: unknown, response: { getStatus(): number; getBody(): string; getHeader(name: string): string | undefined }) => {
      if (response.getStatus() !== 401) return;
      // The library would take this for an upload that is gone, and begin again at byte 0.
      const problem = problemFrom(401, response.getBody(), (name) => response.getHeader(name));
      await renewOrEnd();
      throw problem;
    },
    onProgress: (sent: number) => events.progress(sent),
    onSuccess: () => {
      uploads.delete(item.file);
      release(item);
      events.done();
    },
    onError: async (error: unknown) => {
      const problem = await reasonOf(error, item.file);
      if (!stopped) events.failed(problem);
    },
  };
  if (known?.target === target(item)) {
    upload = known.upload;
    Object.assign(upload.options, options);
    if (upload.url) events.resumed();
    upload.start();
  } else {
    upload = new Upload(item.file as File, options);
    uploads.set(item.file, { upload, target: target(item) });
    void upload
      .findPreviousUploads()
      .catch(() => [] as PreviousUpload[])
      .then((previous) => {
        if (stopped) return;
        const last = previous.sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime))[0];
        // A decision to replace is made after the upload was created, and needs a new one.
        if (last && (last.metadata.replace === 'true') === item.replace) {
          upload.resumeFromPreviousUpload(last);
          events.resumed();
        }
        upload.start();
      });
  }
  return {
    stop() {
      stopped = true;
      void upload.abort(false);
    },
    async discard() {
      stopped = true;
      uploads.delete(item.file);
      release(item);
      await upload.abort(false);
      const id = upload.url?.replace(/^.*\//, '');
      if (id) await discard(id, (await remembered()).get(id));
    },
  };
};

/** An upload that an earlier page began. */
export interface Left {
  key: string;
  id: string;
  size: number;
  path: string;
  modifiedAt: string;
}

/** What this browser remembers of unfinished uploads, by their ids on the server. */
export async function remembered(): Promise<Map<string, Left>> {
  const all = await defaultOptions.urlStorage!.findAllUploads();
  const found = new Map<string, Left>();
  for (const upload of all) {
    const id = upload.uploadUrl?.replace(/^.*\//, '');
    const { path, modified_at: modifiedAt } = upload.metadata;
    if (id && path && modifiedAt && upload.size !== null) {
      found.set(id, { key: upload.urlStorageKey, id, size: upload.size, path, modifiedAt });
    }
  }
  return found;
}

export async function forget(left: Left): Promise<void> {
  await defaultOptions.urlStorage!.removeUpload(left.key);
}

/** Forgets everything about unfinished uploads in this browser. */
export async function forgetAll(): Promise<void> {
  const storage = defaultOptions.urlStorage!;
  for (const upload of await storage.findAllUploads()) await storage.removeUpload(upload.urlStorageKey);
}

/** Removes an upload. The request that was just broken off may hold it for a moment longer. */
export async function discard(id: string, left: Left | undefined): Promise<void> {
  if (left) await forget(left);
  for (let attempt = 1; ; attempt++) {
    try {
      return await discardUpload(id);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return;
      if (!(error instanceof Problem && error.status === 423) || attempt === 10) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}

// A lock for each upload that a page has in its queue tells the other pages of this browser that it is not
// left over. It goes with the page.
const lockPrefix = 'stonevault.upload ';
const releases = new WeakMap<object, () => void>();

function claim(item: Item): void {
  if (releases.has(item.file) || !('locks' in navigator)) return;
  releases.set(item.file, () => {});
  void navigator.locks.request(lockPrefix + item.path, { ifAvailable: true }, (lock) =>
    lock ? new Promise<void>((resolve) => releases.set(item.file, resolve)) : undefined,
  );
}

export function release(item: Item): void {
  releases.get(item.file)?.();
  releases.delete(item.file);
}

/** The paths that some page of this browser is uploading to now. */
export async function claimed(): Promise<Set<string>> {
  const { held = [] } = 'locks' in navigator ? await navigator.locks.query() : {};
  return new Set(held.filter((lock) => lock.name?.startsWith(lockPrefix)).map((lock) => lock.name!.slice(lockPrefix.length)));
}

import { computed, reactive, ref, shallowRef, toRaw } from 'vue';
import { Problem } from '../api/problem';
import type { Upload } from '../api/generated';
import { lookup, newFolder, pendingUploads } from '../api/vault';
import { onSession, session } from '../session/session';
import { notify } from '../shell/notices';
import { t } from '../messages';
import { Queue, type Item, type ItemState } from './queue';
import { claimed, discard, forgetAll, inOneRequest, remembered, sendByTus, type Left } from './tus';
import { numbered, type Dropped } from './walk';

/** The one queue of the page, and what an earlier page left. */

const settledCallbacks = new Set<(item: Item) => void>();
/** Goes on four times a second while there are uploads. */
const tick = ref(0);

export const queue = new Queue(
  sendByTus,
  {
    now: () => Date.now(),
    after: (milliseconds, call) => {
      const timer = setTimeout(call, milliseconds);
      return () => clearTimeout(timer);
    },
  },
  (item) => settledCallbacks.forEach((call) => call(item)),
  3,
  <T extends object>(value: T) => reactive(value) as T,
);

/** Calls back whenever an upload has come to an end. Returns how to stop that. */
export function onSettled(call: (item: Item) => void): () => void {
  settledCallbacks.add(call);
  return () => settledCallbacks.delete(call);
}

setInterval(() => queue.items.length > 0 && tick.value++, 250);

// Both are made anew with the tick, and not with every change, so that ten thousand rows cost no more than ten.
export const totals = computed(() => {
  void tick.value;
  void queue.items.length;
  return queue.totals();
});

/** What needs somebody, then what moves, then what is to come, and what is over at the end. */
const order: Record<ItemState, number> = { conflict: 0, failed: 1, sending: 2, waiting: 3, paused: 4, queued: 5, done: 6 };

/** The first rows of the list in the order of their states. */
export const rows = computed(() => {
  void tick.value;
  void queue.items.length;
  const sorted = [...toRaw(queue.items)].sort((a, b) => order[a.state] - order[b.state] || a.id - b.id);
  return sorted.slice(0, 200).map((item) => reactive(item));
});

export async function upload(dropped: Dropped): Promise<void> {
  queue.add(dropped.files);
  for (const folder of dropped.emptyFolders) {
    try {
      await newFolder(folder);
    } catch (error) {
      if (!(error instanceof Problem && error.code === 'exists')) notify.problem(error);
    }
  }
}

/** Gives an upload that met another file the first free name of its kind. */
export async function keepBoth(item: Item): Promise<void> {
  for (let n = 2; n < 1000; n++) {
    const path = numbered(item.path, n);
    try {
      await lookup(path);
    } catch (error) {
      if (error instanceof Problem && error.status === 404) return queue.decide(item, { path });
      return notify.problem(error);
    }
  }
}

/** An upload that waits on the server for its file. */
export interface Interrupted extends Upload {
  left: Left | undefined;
}
export const interrupted = shallowRef<Interrupted[]>([]);

/** Asks the server what is unfinished and not in the queue. */
export async function findInterrupted(): Promise<void> {
  try {
    const [pending, left, busy] = await Promise.all([pendingUploads(), remembered(), claimed()]);
    interrupted.value = pending
      .map((upload) => ({ ...upload, left: left.get(upload.id) }))
      // Of a file that goes in one request, what is left over is of no use to anybody.
      .filter((upload) => !busy.has(upload.path) && (upload.left || (upload.size ?? Infinity) > inOneRequest));
  } catch (error) {
    notify.problem(error);
  }
}

/** Goes on with an interrupted upload, if this is its file. */
export function goOn(upload: Interrupted, file: File): boolean {
  const { left } = upload;
  if (!left || left.size !== file.size || left.modifiedAt !== new Date(file.lastModified).toISOString()) return false;
  interrupted.value = interrupted.value.filter((other) => other.id !== upload.id);
  queue.add([{ file, path: left.path }]);
  return true;
}

export async function discardInterrupted(upload: Interrupted): Promise<void> {
  await discard(upload.id, upload.left);
  interrupted.value = interrupted.value.filter((other) => other.id !== upload.id);
}

let owner: string | undefined;

export function watchUploads(): void {
  addEventListener('offline', () => queue.hold('offline'));
  addEventListener('online', () => queue.release('offline'));
  addEventListener('beforeunload', (event) => {
    if (queue.unfinished) event.preventDefault();
  });
  onSession((now) => {
    if (now === 'ended') return queue.hold('signed-out');
    if (now === 'signed-out') {
      queue.leave();
      interrupted.value = [];
      void forgetAll(); // paths are nobody's business who uses this browser next
      return;
    }
    // What one person began, another one must not go on with.
    if (owner !== undefined && owner !== session.me?.id) queue.leave();
    owner = session.me?.id;
    queue.release('signed-out');
    void findInterrupted();
  });
  if (!navigator.onLine) queue.hold('offline');
  onSettled((item) => {
    if (item.state === 'failed') notify.announce(t('transfers.announce.failed', { name: nameOf(item.path) }));
    if (item.state === 'conflict') notify.announce(t('transfers.announce.conflict', { name: nameOf(item.path) }));
    if (item.state === 'done' && !queue.unfinished) notify.announce(t('transfers.announce.done', { n: totals.value.files }));
  });
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

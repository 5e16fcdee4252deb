import type { Source } from './queue';

/** What was dropped or chosen, as files with the paths that they shall have. */
export interface Dropped {
  files: Source[];
  /** Folders with nothing in them, which no file would bring along. */
  emptyFolders: string[];
}

type Entry = Pick<FileSystemEntry, 'isFile' | 'isDirectory' | 'name'>;

export function join(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}

/**
 * Takes the entries out of a drop. This must happen in the event itself, before anything is awaited: the
 * browser empties the list afterwards.
 */
export function entriesOf(transfer: DataTransfer): FileSystemEntry[] {
  return [...transfer.items].filter((item) => item.kind === 'file').map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
}

/** Walks folders to their ends. A file that cannot be read any more is told to `unreadable`. */
export async function walk(entries: readonly Entry[], into: string, unreadable: (path: string) => void): Promise<Dropped> {
  const found: Dropped = { files: [], emptyFolders: [] };
  const open: { entry: Entry; path: string }[] = entries.map((entry) => ({ entry, path: join(into, entry.name) })).reverse();
  for (let next = open.pop(); next; next = open.pop()) {
    const { entry, path } = next;
    try {
      if (entry.isFile) {
        found.files.push({ path, file: await fileOf(entry as FileSystemFileEntry) });
        continue;
      }
      const children = await childrenOf(entry as FileSystemDirectoryEntry);
      if (children.length === 0) found.emptyFolders.push(path);
      for (const child of children.reverse()) open.push({ entry: child, path: join(path, child.name) });
    } catch {
      unreadable(path);
    }
  }
  return found;
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

/** All children: one call of readEntries gives a hundred at most, and an empty list at the end. */
async function childrenOf(entry: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = entry.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

/** Files from a file input; those of a chosen folder know their way in it. */
export function chosen(list: FileList | null, into: string): Source[] {
  return [...(list ?? [])].map((file) => ({ file, path: join(into, file.webkitRelativePath || file.name) }));
}

/** "report.pdf" becomes "report (2).pdf". */
export function numbered(path: string, n: number): string {
  const cut = path.lastIndexOf('/') + 1;
  const name = path.slice(cut);
  const dot = name.lastIndexOf('.');
  return dot > 0 ? `${path.slice(0, cut)}${name.slice(0, dot)} (${n})${name.slice(dot)}` : `${path} (${n})`;
}

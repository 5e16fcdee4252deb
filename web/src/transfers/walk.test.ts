import { expect, it } from 'vitest';
import { join, numbered, walk } from './walk';

interface Tree {
  [name: string]: Tree | string | null;
}

/** Entries as a browser gives them: at most a hundred children at a time. */
function entry(name: string, tree: Tree | string | null): FileSystemEntry {
  const content = tree;
  if (typeof content === 'string' || content === null) {
    return {
      name, isFile: true, isDirectory: false,
      file: (good: (file: File) => void, bad: (error: unknown) => void) => (content === null ? bad(new Error('gone')) : good(new File([content], name))),
    } as unknown as FileSystemEntry;
  }
  return {
    name, isFile: false, isDirectory: true,
    createReader: () => {
      const left = Object.keys(content).map((child) => entry(child, content[child]!));
      return { readEntries: (good: (entries: FileSystemEntry[]) => void) => good(left.splice(0, 100)) };
    },
  } as unknown as FileSystemEntry;
}

it('finds every file and every empty folder, in order', async () => {
  const lost: string[] = [];
  const found = await walk(
    [entry('one.txt', '1'), entry('dir', { 'b.txt': 'b', sub: { deep: { 'c.txt': 'c' } }, none: {}, 'gone.txt': null })],
    '/in',
    (path) => lost.push(path),
  );
  expect(found.files.map((source) => source.path)).toEqual(['/in/one.txt', '/in/dir/b.txt', '/in/dir/sub/deep/c.txt']);
  expect(found.emptyFolders).toEqual(['/in/dir/none']);
  expect(lost).toEqual(['/in/dir/gone.txt']);
});

it('reads folders of more than a hundred', async () => {
  const many: Tree = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`f${i}`, 'x']));
  const found = await walk([entry('many', many)], '/', () => {});
  expect(found.files).toHaveLength(250);
  expect(found.files[249]!.path).toBe('/many/f249');
});

it.each([
  ['/', 'a', '/a'],
  ['/x', 'a', '/x/a'],
])('joins %s and %s', (folder, name, path) => expect(join(folder, name)).toBe(path));

it.each([
  ['/a/report.pdf', '/a/report (2).pdf'],
  ['/a.b/report', '/a.b/report (2)'],
  ['/.profile', '/.profile (2)'],
  ['/x.tar.gz', '/x.tar (2).gz'],
])('numbers %s', (path, numberedPath) => expect(numbered(path, 2)).toBe(numberedPath));

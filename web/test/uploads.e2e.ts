import { createHash } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Browser, CDPSession } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { content, launch, Visitor } from './browser';
import { Line } from './line';
import { person, Server, until } from './server';

let browser: Browser;
let server: Server;
let visitor: Visitor;
let cdp: CDPSession;

beforeAll(async () => {
  server = new Server();
  server.makeAdmin();
  await server.start();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.end();
});
beforeEach(() => enter(server));

async function enter(at: { url: string }): Promise<void> {
  visitor = await Visitor.open(browser, at);
  cdp = await visitor.context.newCDPSession(visitor.page);
  await visitor.signIn();
}
afterEach(() => visitor.leave());

const large = 24 << 20;
/** Bytes in a second: slow enough for a busy machine to find a large upload under way, and to do something to it. */
const slow = 1 << 20;

/** A file on this machine's disk. */
function onDisk(name: string, bytes: Buffer | string, modified = new Date('2026-02-03T04:05:06Z')): string {
  const path = join(server.dir, 'local', name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, bytes);
  utimesSync(path, modified, modified);
  return path;
}

/** Makes the line slow enough for something to happen on it. 0 is as fast as it goes. */
async function limit(bytesPerSecond: number): Promise<void> {
  await cdp.send('Network.enable');
  await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytesPerSecond || -1 });
}

async function arrived(path: string, bytes: Buffer | string): Promise<void> {
  const reply = await server.get(`/api/v1/content${encodeURI(path)}`);
  expect(reply.status, path).toBe(200);
  const digest = (data: Buffer | string | Uint8Array) => createHash('sha256').update(data).digest('hex');
  expect(digest(new Uint8Array(await reply.arrayBuffer())), path).toBe(digest(bytes));
}

async function pending(): Promise<{ id: string; path: string; offset: number }[]> {
  return ((await (await server.get('/api/v1/uploads')).json()) as { items: { id: string; path: string; offset: number }[] }).items;
}

/** Where an upload stands once nobody sends for it any more: the server makes what came durable a moment later. */
async function standing(path: string): Promise<number> {
  let last = -1;
  await until(async () => {
    const before = last;
    last = (await pending()).find((upload) => upload.path === path)?.offset ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 400));
    return last > 0 && last === before;
  });
  return last;
}

const state = (path: string) => visitor.transfer(path).getAttribute('data-state');
/** Waits until the server has taken a part of an upload. */
async function underWay(path: string): Promise<void> {
  await until(async () => Number(await visitor.transfer(path).locator('progress').getAttribute('value').catch(() => 0)) > 0.15);
  expect(await state(path)).toBe('sending');
}
async function done(path: string): Promise<void> {
  await until(async () => (await state(path)) === 'done', 60_000);
}

/** Drags what lies on this machine's disk over the page, until the page has noticed or has not, and lets it go. */
async function drop(files: string[], noticed: () => Promise<boolean>): Promise<void> {
  const drag = (type: 'dragEnter' | 'dragOver' | 'drop') =>
    cdp.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data: { items: [], files, dragOperationsMask: 1 } });
  await drag('dragEnter');
  await until(async () => {
    await drag('dragOver');
    return noticed();
  });
  await drag('drop');
}
const veiled = () => visitor.page.getByText('Drop to upload into').isVisible();

describe('uploading', () => {
  it('takes chosen files of all sizes, and shows them', async () => {
    const { page } = visitor;
    const files = [0, 1, 1000, (1 << 20) - 1, (1 << 20) + 1, 5_000_000].map((size) => ({ name: `of ${size}.bin`, mimeType: 'application/octet-stream', buffer: content(size, size) }));
    await visitor.choose(...files);
    for (const file of files) await done(`/${file.name}`);
    await page.getByRole('heading', { name: '6 files uploaded' }).waitFor();
    await until(async () => /All 6 uploads are done/.test((await page.getByTestId('spoken').textContent()) ?? ''));
    for (const file of files) {
      await visitor.row(file.name).waitFor();
      await arrived(`/${file.name}`, file.buffer);
    }
    await visitor.examine('finished uploads');
    expect(await pending()).toEqual([]);
  });

  it('takes dropped files and whole folders, empty ones too', async () => {
    const { page } = visitor;
    const tree = { 'trip/plan.txt': 'plan', 'trip/day 1/photo ä.jpg': content(300_000), 'trip/day 1/notes/n.md': '# n' };
    for (const [name, bytes] of Object.entries(tree)) onDisk(name, bytes);
    for (let i = 0; i < 130; i++) onDisk(`trip/many/${i}.txt`, `file ${i}`);
    mkdirSync(join(server.dir, 'local', 'trip', 'nothing here'), { recursive: true });
    await drop([join(server.dir, 'local', 'trip'), onDisk('alone.txt', 'alone')], veiled);
    await page.getByRole('heading', { name: '134 files uploaded' }).waitFor();
    expect(await page.getByText('Drop to upload into').count()).toBe(0);
    for (const [name, bytes] of Object.entries(tree)) await arrived(`/${name}`, bytes);
    await arrived('/alone.txt', 'alone');
    await arrived('/trip/many/129.txt', 'file 129');
    expect((await (await server.get('/api/v1/files/lookup?path=/trip/nothing%20here')).json()) as object).toMatchObject({ kind: 'folder' });
    const { modified_at: modified } = (await (await server.get('/api/v1/files/lookup?path=/alone.txt')).json()) as { modified_at: string };
    expect(new Date(modified).toISOString()).toBe('2026-02-03T04:05:06.000Z');
    await visitor.row('trip').waitFor();
  });

  it('takes a drop into the folder that is open, and a chosen folder', async () => {
    const { page } = visitor;
    await page.goto(`${server.url}/files/trip`);
    await visitor.row('plan.txt').waitFor();
    onDisk('parcel/one.txt', 'one');
    onDisk('parcel/deeper/two.txt', 'two');
    await drop([onDisk('into.txt', 'into')], veiled);
    await done('/trip/into.txt');
    await arrived('/trip/into.txt', 'into');
    await page.getByTestId('folders').setInputFiles(join(server.dir, 'local', 'parcel'));
    await done('/trip/parcel/deeper/two.txt');
    await done('/trip/parcel/one.txt');
    await arrived('/trip/parcel/deeper/two.txt', 'two');
    await visitor.row('parcel').waitFor();
  });

  it('lets no file that is dropped elsewhere take the place of the page', async () => {
    const { page } = visitor;
    await page.getByRole('link', { name: 'Keys and recovery' }).click();
    await page.getByRole('heading', { name: 'Your keys' }).waitFor();
    await drop([onDisk('astray.txt', 'astray')], async () => true);
    await page.waitForTimeout(300);
    expect(new URL(page.url()).pathname).toBe('/keys');
    await page.getByRole('heading', { name: 'Your keys' }).waitFor();
    expect(await page.locator('[data-path]').count()).toBe(0);
  });

  it('takes a drag that was given up for over', async () => {
    const { page } = visitor;
    const data = { items: [], files: [onDisk('never.txt', 'never')], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver'] as const) await cdp.send('Input.dispatchDragEvent', { type, x: 600, y: 400, data });
    await page.getByText('Drop to upload into').waitFor({ state: 'detached' });
    expect(await page.locator('[data-path]').count()).toBe(0);
  });

  it('asks where there is a file already: replace, keep both, skip', async () => {
    const { page } = visitor;
    await server.put('/taken.txt', 'old');
    const again = { name: 'taken.txt', mimeType: 'text/plain', buffer: Buffer.from('new') };
    visitor.expectFailures = true;
    await visitor.choose(again);
    await until(async () => (await state('/taken.txt')) === 'conflict');
    await visitor.examine('a conflict');
    await arrived('/taken.txt', 'old');
    await page.getByRole('button', { name: 'Keep both' }).click();
    await done('/taken (2).txt');
    await arrived('/taken (2).txt', 'new');
    await visitor.choose(again);
    await until(async () => (await state('/taken.txt')) === 'conflict');
    await page.getByRole('button', { name: 'Skip' }).click();
    expect(await visitor.transfer('/taken.txt').count()).toBe(0);
    await arrived('/taken.txt', 'old');
    await visitor.choose(again);
    await until(async () => (await state('/taken.txt')) === 'conflict');
    await page.getByRole('button', { name: 'Replace', exact: true }).click();
    await done('/taken.txt');
    await arrived('/taken.txt', 'new');
  });

  it('shows progress, pauses, goes on and cancels', async () => {
    const { page } = visitor;
    const bytes = content(large, 5);
    await limit(slow);
    await page.getByTestId('files').setInputFiles(onDisk('slow.bin', bytes));
    await until(async () => /^[\d.]+ MB of 25 MB · [\d.]+ [kM]B\/s · .* left$/.test((await page.locator('.transfers .head .small').textContent()) ?? ''));
    await underWay('/slow.bin');
    await visitor.examine('an upload under way');
    await page.getByRole('button', { name: 'Pause slow.bin' }).click();
    expect(await state('/slow.bin')).toBe('paused');
    const offset = await standing('/slow.bin');
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect((await pending())[0]!.offset).toBe(offset);
    await limit(0);
    await page.getByRole('button', { name: 'Go on with slow.bin' }).click();
    await done('/slow.bin');
    await arrived('/slow.bin', bytes);

    await limit(slow);
    await page.getByTestId('files').setInputFiles(onDisk('unwanted.bin', content(large, 6)));
    await underWay('/unwanted.bin');
    visitor.expectFailures = true; // the request that was broken off may hold the upload for a moment (423)
    await page.getByRole('button', { name: 'Cancel unwanted.bin' }).click();
    await until(async () => (await pending()).length === 0);
    expect(await visitor.transfer('/unwanted.bin').count()).toBe(0);
    expect((await server.get('/api/v1/files/lookup?path=/unwanted.bin')).status).toBe(404);
  });

  it('pauses, goes on with and cancels all of them', async () => {
    const { page } = visitor;
    const names = ['one', 'two', 'three', 'four', 'five'].map((name) => `${name} of all.bin`);
    await limit(slow);
    await page.getByTestId('files').setInputFiles(names.map((name, i) => onDisk(name, content(6 << 20, 20 + i))));
    await until(async () => (await pending()).length === 3); // three at a time
    expect(await page.locator('[data-state="queued"]').count()).toBe(2);
    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'Pause all uploads' }).click();
    await page.getByRole('heading', { name: 'Uploads are paused' }).waitFor();
    expect(await page.locator('[data-state="paused"]').count()).toBe(5);
    await visitor.examine('paused uploads');
    await visitor.fits('paused uploads');
    await page.getByRole('button', { name: 'Go on with all uploads' }).click();
    await page.getByRole('heading', { name: 'Uploading 0 of 5' }).waitFor();

    await page.getByRole('button', { name: 'Cancel all uploads' }).click();
    const dialog = page.getByRole('dialog', { name: 'Cancel all uploads?' });
    await visitor.examine('cancelling uploads');
    await dialog.getByRole('button', { name: 'Keep uploading' }).click();
    expect(await page.locator('[data-path]').count()).toBe(5);
    await page.getByRole('button', { name: 'Cancel all uploads' }).click();
    await dialog.getByRole('button', { name: 'Cancel all', exact: true }).click();
    expect(await page.locator('[data-path]').count()).toBe(0);
    await until(async () => (await pending()).length === 0);
    for (const name of names) expect((await server.get(`/api/v1/files/lookup?path=/${encodeURIComponent(name)}`)).status).toBe(404);
  });

  it('says so when a file has changed on the disk, and does not mix the two', async () => {
    const { page } = visitor;
    await limit(slow);
    const path = onDisk('changing.bin', content(large, 30));
    await page.getByTestId('files').setInputFiles(path);
    await underWay('/changing.bin');
    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'Pause changing.bin' }).click();
    const other = content(large, 31);
    onDisk('changing.bin', other, new Date('2026-05-06T07:08:09Z'));
    await page.getByRole('button', { name: 'Go on with changing.bin' }).click();
    await until(async () => (await state('/changing.bin')) === 'failed');
    await visitor.transfer('/changing.bin').getByText('was changed, moved or deleted after it was chosen').waitFor();
    await visitor.examine('a file that has changed');
    await page.getByRole('button', { name: 'Cancel changing.bin' }).click();
    await until(async () => (await pending()).length === 0);
    await limit(0);
    await page.getByTestId('files').setInputFiles(path);
    await done('/changing.bin');
    await arrived('/changing.bin', other);
  });
});

describe('an upload survives', () => {
  it('a network that goes and comes back', async () => {
    const bytes = content(large, 7);
    await limit(slow);
    await visitor.page.getByTestId('files').setInputFiles(onDisk('offline.bin', bytes));
    await underWay('/offline.bin');
    visitor.expectFailures = true;
    await visitor.context.setOffline(true);
    await until(async () => (await state('/offline.bin')) === 'waiting');
    await visitor.page.getByRole('heading', { name: 'No network: uploads wait' }).waitFor();
    await visitor.examine('no network');
    await visitor.context.setOffline(false);
    await limit(0);
    await done('/offline.bin');
    await arrived('/offline.bin', bytes);
  });

  it('a line that breaks again and again, and is told of nothing', async () => {
    await visitor.leave();
    const line = await Line.to(server);
    try {
      await enter(line);
      const cuts = 4;
      const bytes = content(32 << 20, 12);
      await limit(4 << 20);
      visitor.expectFailures = true;
      line.sent = 0;
      await visitor.page.getByTestId('files').setInputFiles(onDisk('broken line.bin', bytes));
      const bar = visitor.transfer('/broken line.bin').locator('progress');
      for (let i = 1; i <= cuts; i++) {
        await until(async () => (await state('/broken line.bin')) === 'sending' && Number(await bar.getAttribute('value')) > i * 0.18);
        line.cut();
        await until(async () => (await state('/broken line.bin')) === 'waiting');
      }
      await limit(0);
      await done('/broken line.bin');
      await arrived('/broken line.bin', bytes);
      await visitor.transfer('/broken line.bin').getByText('in several parts').waitFor();
      // Each cut costs a segment at most, beside what fills the line's buffers.
      expect(line.sent - bytes.length).toBeLessThan(bytes.length / 100 + cuts * (2 << 20));
    } finally {
      line.end();
    }
  });

  it('a server that is killed and started again', async () => {
    const bytes = content(large, 8);
    await limit(slow);
    await visitor.page.getByTestId('files').setInputFiles(onDisk('killed.bin', bytes));
    await underWay('/killed.bin');
    visitor.expectFailures = true;
    await server.stop('SIGKILL');
    await until(async () => (await state('/killed.bin')) === 'waiting');
    await server.start();
    await limit(0);
    await done('/killed.bin');
    await arrived('/killed.bin', bytes);
  });

  it('a server that is asked to stop, which takes what is on its way to the end or leaves it to the next one', async () => {
    const bytes = content(large, 13);
    await limit(3 << 20);
    await visitor.page.getByTestId('files').setInputFiles(onDisk('stopped.bin', bytes));
    await underWay('/stopped.bin');
    visitor.expectFailures = true;
    await server.stop('SIGTERM');
    await server.start();
    await limit(0);
    await done('/stopped.bin');
    await arrived('/stopped.bin', bytes);
  });

  it('a page that is closed: the same file goes on where it had stopped, another one does not', async () => {
    const { page } = visitor;
    const bytes = content(large, 9);
    const path = onDisk('reloaded.bin', bytes);
    await limit(slow);
    await page.getByTestId('files').setInputFiles(path);
    await until(async () => ((await pending())[0]?.offset ?? 0) > 0 || Number(await visitor.transfer('/reloaded.bin').locator('progress').getAttribute('value')) > 0.5);
    page.once('dialog', (dialog) => void dialog.accept());
    await page.reload();
    await limit(0);
    const left = page.getByTestId('interrupted');
    await left.getByText('reloaded.bin').waitFor();
    await visitor.examine('an interrupted upload');
    const offset = await standing('/reloaded.bin');

    const choose = async (file: string): Promise<void> => {
      const [chooser] = await Promise.all([page.waitForEvent('filechooser'), left.getByRole('button', { name: 'Choose the file…' }).click()]);
      await chooser.setFiles(file);
    };
    await choose(onDisk('other.bin', content(large, 10), new Date('2026-02-03T04:05:07Z')));
    await page.getByText('This is not the same file').waitFor();

    const offsets: number[] = [];
    page.on('request', (request) => {
      if (request.method() === 'PATCH') offsets.push(Number(request.headers()['upload-offset']));
    });
    await choose(path);
    await done('/reloaded.bin');
    await arrived('/reloaded.bin', bytes);
    expect(offsets[0]).toBe(offset);
    await visitor.transfer('/reloaded.bin').getByText('in several parts').waitFor();
    expect(await pending()).toEqual([]);
  });

  it('a session that ends: it goes on after signing in again', async () => {
    const { page, context } = visitor;
    const bytes = content(large, 11);
    await limit(slow);
    await page.getByTestId('files').setInputFiles(onDisk('session.bin', bytes));
    await underWay('/session.bin');
    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'Pause session.bin' }).click();
    await context.clearCookies();
    await page.getByRole('button', { name: 'Go on with session.bin' }).click();
    await page.getByText('Your session has ended').waitFor();
    await limit(0);
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.keyboard.press('Enter');
    await done('/session.bin');
    await arrived('/session.bin', bytes);
  });
});

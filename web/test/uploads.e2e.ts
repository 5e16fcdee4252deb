import { createHash } from 'node:crypto';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Browser, CDPSession } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { content, launch, Visitor } from './browser';
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
beforeEach(async () => {
  visitor = await Visitor.open(browser, server);
  cdp = await visitor.context.newCDPSession(visitor.page);
  await visitor.signIn();
});
afterEach(() => visitor.leave());

const large = 24 << 20;

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
/** Waits until the server has taken a part of an upload, and not all of it. */
async function underWay(path: string): Promise<void> {
  await until(async () => Number(await visitor.transfer(path).locator('progress').getAttribute('value').catch(() => 0)) > 0.15);
  expect(await state(path)).toBe('sending');
}
async function done(path: string): Promise<void> {
  await until(async () => (await state(path)) === 'done', 60_000);
}


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
    const data = { items: [], files: [join(server.dir, 'local', 'trip'), onDisk('alone.txt', 'alone')], dragOperationsMask: 1 };
    await cdp.send('Input.dispatchDragEvent', { type: 'dragEnter', x: 600, y: 400, data });
    await cdp.send('Input.dispatchDragEvent', { type: 'dragOver', x: 600, y: 400, data });
    await page.getByText('Drop to upload into').waitFor();
    await cdp.send('Input.dispatchDragEvent', { type: 'drop', x: 600, y: 400, data });
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
    await limit(4 << 20);
    await page.getByTestId('files').setInputFiles(onDisk('slow.bin', bytes));
    await underWay('/slow.bin');
    await until(async () => /^[\d.]+ MB of 25 MB · [\d.]+ MB\/s · .* left$/.test((await page.locator('.transfers .head .small').textContent()) ?? ''));
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

    await limit(2 << 20);
    await page.getByTestId('files').setInputFiles(onDisk('unwanted.bin', content(large, 6)));
    await underWay('/unwanted.bin');
    visitor.expectFailures = true; // the request that was broken off may hold the upload for a moment (423)
    await page.getByRole('button', { name: 'Cancel unwanted.bin' }).click();
    await until(async () => (await pending()).length === 0);
    expect(await visitor.transfer('/unwanted.bin').count()).toBe(0);
    expect((await server.get('/api/v1/files/lookup?path=/unwanted.bin')).status).toBe(404);
  });
});

describe('an upload survives', () => {
  it('a network that goes and comes back', async () => {
    const bytes = content(large, 7);
    await limit(6 << 20);
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

  it('a server that is killed and started again', async () => {
    const bytes = content(large, 8);
    await limit(6 << 20);
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

  it('a page that is closed: the same file goes on where it had stopped, another one does not', async () => {
    const { page } = visitor;
    const bytes = content(large, 9);
    const path = onDisk('reloaded.bin', bytes);
    await limit(6 << 20);
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
    await limit(6 << 20);
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

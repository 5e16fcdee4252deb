import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { content, launch, Visitor } from './browser';
import { person, Server, until } from './server';

let browser: Browser;
let server: Server;
let visitor: Visitor;

beforeAll(async () => {
  server = new Server();
  server.makeAdmin();
  await server.start();
  await server.put('/letters/2026/to Ann.txt', 'Dear Ann');
  await server.put('/letters/to Zoë.txt', 'Dear Zoë');
  await server.put('/big.bin', content(2_500_000));
  await server.put('/small.txt', 'small');
  await server.put('/späti & söhne <b>.txt', 'a name with everything');
  for (let i = 0; i < 120; i++) await server.put(`/many/${String(i).padStart(3, '0')}.txt`, `number ${i}`);
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.end();
});
beforeEach(async () => {
  visitor = await Visitor.open(browser, server);
});
afterEach(() => visitor.leave());

describe('signing in', () => {
  it('says what is wrong, and leads to where one wanted to go', async () => {
    const { page } = visitor;
    await page.goto(`${server.url}/files/letters/2026`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('sign-in-name');
    await visitor.examine('sign in');
    visitor.expectFailures = true;
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.keyboard.press('Enter');
    const alert = page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/wrong.*Caps Lock.*Request id/);
    visitor.expectFailures = false;
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.keyboard.press('Enter');
    await visitor.row('to Ann.txt').waitFor();
    expect(new URL(page.url()).pathname).toBe('/files/letters/2026');
    // No script can read the session, and nothing of it is in storage.
    expect(await page.evaluate(() => document.cookie)).toBe('');
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toMatch(/ey[A-Za-z0-9_-]{10}|svr_/);
    const cookies = await visitor.context.cookies();
    expect(cookies).toHaveLength(2);
    for (const cookie of cookies) expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
  });

  it('stays signed in over a reload, renews the session, and signs out', async () => {
    const { page, context } = visitor;
    await visitor.signIn();
    await page.reload();
    await visitor.row('big.bin').waitFor();
    await context.clearCookies({ name: /access/ });
    visitor.expectFailures = true;
    await visitor.row('letters').getByRole('link', { name: 'letters' }).click();
    await visitor.row('to Zoë.txt').waitFor();
    visitor.expectFailures = false;
    await page.getByRole('button', { name: 'Account' }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await context.cookies()).toEqual([]);
    await page.goto(`${server.url}/files`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  });

  it('asks again when the session has ended elsewhere', async () => {
    const { page, context } = visitor;
    await visitor.signIn('/files/letters');
    await visitor.row('2026').waitFor();
    await context.clearCookies();
    visitor.expectFailures = true;
    await visitor.row('2026').getByRole('link', { name: '2026' }).click();
    await page.getByText('Your session has ended').waitFor();
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.keyboard.press('Enter');
    await visitor.row('to Ann.txt').waitFor();
  });
});

describe('files and folders', () => {
  it('are listed, folders first, sorted, and page by page', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await visitor.row('big.bin').waitFor();
    await visitor.examine('files');
    const names = () => page.locator('[data-id] .name').allTextContents();
    expect((await names()).map((name) => name.replace(/^Folder /, ''))).toEqual(['letters', 'many', 'big.bin', 'small.txt', 'späti & söhne <b>.txt']);
    await page.getByRole('button', { name: 'Size', exact: true }).click();
    await until(async () => (await names())[2] === 'big.bin' && (await page.getByRole('columnheader', { name: 'Size' }).getAttribute('aria-sort')) === 'descending');
    await page.getByRole('button', { name: 'Size', exact: true }).click();
    await until(async () => (await names())[2] === 'small.txt');
    await page.getByRole('button', { name: 'Name', exact: true }).click();

    await visitor.row('many').getByRole('link').click();
    await visitor.row('099.txt').waitFor();
    expect(await page.locator('[data-id]').count()).toBe(100);
    await page.getByRole('button', { name: 'Show more' }).click();
    await visitor.row('119.txt').waitFor();
    expect(await page.locator('[data-id]').count()).toBe(120);
    expect(await page.getByRole('button', { name: 'Show more' }).count()).toBe(0);
    await page.goBack();
    await visitor.row('big.bin').waitFor();
  });

  it('are made, renamed, moved and deleted', async () => {
    const { page } = visitor;
    await server.put('/letters/draft.txt', 'draft');
    await visitor.signIn('/files/letters');
    await page.getByRole('button', { name: 'New folder' }).click();
    await page.getByRole('dialog', { name: 'New folder' }).waitFor();
    await visitor.examine('new folder');
    await page.getByLabel('Name', { exact: true }).fill('a/b');
    await page.getByRole('button', { name: 'Make folder' }).click();
    await page.getByText('A name cannot have').waitFor();
    await page.getByLabel('Name', { exact: true }).fill('old ones');
    await page.getByRole('button', { name: 'Make folder' }).click();
    await visitor.row('old ones').waitFor();

    await visitor.act('draft.txt', 'Rename');
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).fill('final.txt');
    await page.keyboard.press('Enter');
    await visitor.row('final.txt').waitFor();
    expect(await visitor.row('draft.txt').count()).toBe(0);
    // What is there already is never replaced by a rename.
    visitor.expectFailures = true;
    await visitor.act('final.txt', 'Rename');
    await page.getByRole('dialog').getByLabel('Name', { exact: true }).fill('to Zoë.txt');
    await page.keyboard.press('Enter');
    expect(await page.getByRole('alert').textContent()).toMatch(/already.*Request id/);
    await page.getByRole('button', { name: 'Cancel' }).click();
    visitor.expectFailures = false;

    await visitor.act('final.txt', 'Move');
    await visitor.examine('move');
    await page.getByRole('dialog').getByRole('button', { name: 'old ones' }).click();
    await page.getByText('No folders in here.').waitFor();
    await page.getByRole('button', { name: 'Move here' }).click();
    await until(async () => (await visitor.row('final.txt').count()) === 0);
    expect((await server.get('/api/v1/files/lookup?path=/letters/old%20ones/final.txt')).status).toBe(200);

    // A folder goes only when its name has been typed.
    await visitor.act('old ones', 'Delete');
    await visitor.examine('delete');
    const dialog = page.getByRole('dialog');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Cancel');
    await dialog.getByRole('button', { name: 'Delete for good' }).click();
    await dialog.getByRole('alert').waitFor();
    expect((await server.get('/api/v1/files/lookup?path=/letters/old%20ones/final.txt')).status).toBe(200);
    await dialog.getByLabel('To be sure').fill('old ones');
    await dialog.getByRole('button', { name: 'Delete for good' }).click();
    await until(async () => (await visitor.row('old ones').count()) === 0);
    expect((await server.get('/api/v1/files/lookup?path=/letters/old%20ones')).status).toBe(404);
  });

  it('are found by name, here and below or everywhere', async () => {
    const { page } = visitor;
    await visitor.signIn('/files/letters');
    await page.keyboard.press('/');
    await page.keyboard.type('to ');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Found for “to”' }).waitFor();
    await visitor.row('to Ann.txt').waitFor();
    await visitor.row('to Zoë.txt').waitFor();
    await visitor.examine('search');
    await page.getByRole('button', { name: 'Search everywhere' }).click();
    await page.getByText('In all your files').waitFor();
    await visitor.row('to Ann.txt').getByRole('link', { name: '/letters/2026' }).click();
    await until(() => new URL(page.url()).pathname === '/files/letters/2026');
    await page.getByLabel('Search by name').fill('no such thing');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Nothing found' }).waitFor();
  });

  it('are downloaded as they were: one, an older version, many as a zip', async () => {
    const { page } = visitor;
    await server.put('/twice.txt', 'first');
    await server.put('/twice.txt', 'second');
    await visitor.signIn();
    const get = async (click: () => Promise<void>): Promise<{ name: string; bytes: Buffer }> => {
      const [download] = await Promise.all([page.waitForEvent('download'), click()]);
      return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
    };
    const big = await get(() => visitor.act('big.bin', 'Download'));
    expect(big.name).toBe('big.bin');
    expect(big.bytes.equals(content(2_500_000))).toBe(true);
    const odd = await get(() => visitor.act('späti & söhne <b>.txt', 'Download'));
    expect(odd.bytes.toString()).toBe('a name with everything');

    await page.getByRole('button', { name: 'twice.txt', exact: true }).click();
    await page.getByText('Version 2').waitFor();
    const old = await get(() => page.getByRole('button', { name: 'Download version 1' }).click());
    expect(old.bytes.toString()).toBe('first');
    await page.getByRole('button', { name: 'Close the details' }).click();

    await page.getByRole('checkbox', { name: 'Select letters' }).check();
    await page.getByRole('checkbox', { name: 'Select small.txt' }).check();
    await visitor.examine('selection');
    const zip = await get(() => page.getByRole('toolbar').getByRole('button', { name: 'Download' }).click());
    expect(zip.bytes.subarray(0, 2).toString()).toBe('PK');
    for (const name of ['letters/2026/to Ann.txt', 'small.txt']) expect(zip.bytes.includes(Buffer.from(name))).toBe(true);
  });

  it('show who sealed them and how, and whether they are what was sealed', async () => {
    const { page } = visitor;
    await server.put('/broken.bin', content(1_500_000, 3));
    await visitor.signIn();
    await page.getByRole('button', { name: 'big.bin', exact: true }).click();
    const details = page.getByRole('complementary', { name: 'Details' });
    await details.getByText('2,500,000 bytes').waitFor();
    expect(await details.textContent()).toMatch(/Sealed by ?You.*Hybrid post-quantum/s);
    await details.getByRole('button', { name: 'Verify' }).click();
    await details.getByText('Exactly as it was sealed').waitFor();
    expect(await details.textContent()).toMatch(/3 segments, 2\.5 MB.*Signed by: You/s);
    await visitor.examine('details');
    await page.keyboard.press('Escape');
    await until(async () => (await details.count()) === 0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch(/big\.bin/);

    // One bit of what is stored is flipped.
    const { file_id: id } = (await (await server.get('/api/v1/files/lookup?path=/broken.bin')).json()) as { file_id: string };
    const body = find(server.data, `${id}.body`);
    const bytes = readFileSync(body);
    bytes[1_200_000]! ^= 1;
    writeFileSync(body, bytes);
    await page.getByRole('button', { name: 'broken.bin', exact: true }).click();
    await details.getByRole('button', { name: 'Verify' }).click();
    await details.getByText('Not what was sealed', { exact: true }).waitFor();
    await visitor.examine('a file that was tampered with');
  });
});

describe('the keyboard', () => {
  it('does everything in a list', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await visitor.row('big.bin').waitFor();
    await page.reload();
    await visitor.row('big.bin').waitFor();
    const focused = () => page.evaluate(() => document.activeElement?.querySelector('.name')?.textContent?.replace(/^Folder /, ''));
    await page.keyboard.press('Tab');
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Skip to the content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main');

    await page.locator('[data-id][tabindex="0"]').focus();
    expect(await page.locator('[data-id][tabindex="0"]').count()).toBe(1);
    expect(await focused()).toBe('letters');
    await page.keyboard.press('ArrowDown');
    expect(await focused()).toBe('many');
    await page.keyboard.press('End');
    await page.keyboard.press('Home');
    await page.keyboard.press('Space');
    await page.keyboard.press('Shift+ArrowDown');
    await page.getByText('2 selected').first().waitFor();
    await page.keyboard.press('Control+a');
    expect(await page.locator('[data-id][aria-selected="true"]').count()).toBe(await page.locator('[data-id]').count());
    await page.keyboard.press('Escape');
    expect(await page.locator('[data-id][aria-selected="true"]').count()).toBe(0);
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    expect(await page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Select letters');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('Enter');
    await visitor.row('to Zoë.txt').waitFor();
    await page.locator('[data-id][tabindex="0"]').focus();
    await page.keyboard.press('Backspace');
    await visitor.row('big.bin').waitFor();
    await page.locator('[data-id][tabindex="0"]').focus();
    await page.keyboard.press('F2');
    await page.getByRole('dialog', { name: /Rename/ }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Delete');
    await page.getByRole('dialog', { name: /Delete/ }).waitFor();
    await page.keyboard.press('Escape');
    await until(async () => (await page.getByRole('dialog').count()) === 0);
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await visitor.examine('shortcuts');
    await page.keyboard.press('Escape');
    await page.keyboard.press('n');
    await page.getByRole('dialog', { name: 'New folder' }).waitFor();
  });
});

describe('the frame', () => {
  it('follows the system’s theme or one’s own, without a flash', async () => {
    const { page } = visitor;
    await visitor.signIn();
    const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.emulateMedia({ colorScheme: 'dark' });
    const dark = await ground();
    expect(dark).not.toBe(light);
    await page.getByRole('button', { name: 'Theme' }).click();
    await visitor.page.getByRole('menuitemradio', { name: 'Light' }).click();
    expect(await ground()).toBe(light);
    await page.reload({ waitUntil: 'commit' });
    await page.waitForFunction(() => document.body);
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('light');
    await page.getByRole('button', { name: 'Theme' }).click();
    await page.getByRole('menuitemradio', { name: 'Like the system' }).click();
    expect(await ground()).toBe(dark);
  });

  it('does not move while it comes up', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await page.goto(`${server.url}/files`);
    await visitor.row('big.bin').waitFor();
    await page.waitForTimeout(500);
    const shifted = await page.evaluate(
      () =>
        new Promise<number>((resolve) => {
          let sum = 0;
          new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) sum += (entry as PerformanceEntry & { value: number }).value;
          }).observe({ type: 'layout-shift', buffered: true });
          setTimeout(() => resolve(sum), 200);
        }),
    );
    expect(shifted).toBeLessThan(0.02);
  });

  it('fits a phone: nothing is wider than the screen, and the menu opens', async () => {
    const { page } = visitor;
    await page.setViewportSize({ width: 390, height: 844 });
    await visitor.signIn();
    await visitor.row('big.bin').waitFor();
    for (const width of [320, 390, 768]) {
      await page.setViewportSize({ width, height: 844 });
      expect(await page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${width} pixels`).toBeLessThanOrEqual(0);
    }
    await page.setViewportSize({ width: 390, height: 844 });
    await visitor.examine('files on a phone');
    await page.getByRole('button', { name: 'Open the menu' }).click();
    await page.getByRole('dialog', { name: 'Main' }).getByRole('link', { name: 'Keys and recovery' }).click();
    await page.getByRole('heading', { name: 'Keys and recovery' }).waitFor();
  });

  it('says so when there is no such page, no such folder, or no server', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await page.goto(`${server.url}/nowhere`);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    visitor.expectFailures = true;
    await page.goto(`${server.url}/files/no/such/folder`);
    expect(await page.getByRole('alert').textContent()).toMatch(/Load the folder again.*Request id/);
    await visitor.examine('an error');
    await page.goto(`${server.url}/files`);
    await visitor.row('letters').waitFor();
    await visitor.context.setOffline(true);
    await visitor.row('letters').getByRole('link').click();
    await page.getByText('The server cannot be reached.').waitFor();
    await visitor.context.setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await visitor.row('to Zoë.txt').waitFor();
  });
});

function find(dir: string, name: string): string {
  for (const each of readdirSync(dir)) {
    const path = join(dir, each);
    if (each === name) return path;
    if (statSync(path).isDirectory()) {
      const found = find(path, name);
      if (found) return found;
    }
  }
  return '';
}

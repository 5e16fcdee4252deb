import { readFileSync } from 'node:fs';
import type { Browser, Download } from 'playwright-core';
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
    const cookies = await visitor.context.cookies(); // of access and refresh, and the device's
    expect(cookies).toHaveLength(3);
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
    await page.getByRole('button', { name: 'Account', exact: true }).click();
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    // The device stays known, which lets nobody in.
    expect((await context.cookies()).map((cookie) => cookie.name)).toEqual(['stonevault-device']);
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
    expect(await details.textContent()).toMatch(/3 segments, 2\.5 MB.*You signed it on/s);
    await visitor.fits('details');
    await visitor.examine('details');
    await page.keyboard.press('Escape');
    await until(async () => (await details.count()) === 0);
    expect(await page.evaluate(() => document.activeElement?.textContent)).toMatch(/big\.bin/);

    await server.damage('/broken.bin', 1_200_000);
    await page.getByRole('button', { name: 'broken.bin', exact: true }).click();
    await details.getByRole('button', { name: 'Verify' }).click();
    await details.getByText('Not what was sealed', { exact: true }).waitFor();
    expect(await details.textContent()).toMatch(/changed or damaged\. It is refused.*Only its first segment is sound\..*Restore it from a backup/s);
    await visitor.examine('a file that was tampered with');
  });

  it('are refused in words where they are not what was sealed', async () => {
    const { page } = visitor;
    const large = 40 << 20;
    await server.put('/refused/small.bin', content(3_000_000, 4));
    await server.put('/refused/large.bin', content(large, 5));
    await server.put('/refused/in a folder/deep.txt', 'deep');
    await server.damage('/refused/small.bin', 2_500_000);
    await server.damage('/refused/large.bin', large - 1000);
    await visitor.signIn('/files/refused');
    const downloads: Download[] = [];
    page.on('download', (download) => downloads.push(download));

    // Of a small one, no download even begins.
    await visitor.act('small.bin', 'Download');
    await page.getByText('“small.bin” is refused: it is not what was sealed.').waitFor();
    await page.getByText('nothing of it was downloaded').waitFor();
    await page.getByText('Restore it from a backup').waitFor();
    expect(downloads).toHaveLength(0);
    await visitor.examine('a refused download');
    await visitor.fits('a refused download');
    await page.getByRole('button', { name: 'Close', exact: true }).click();

    // A large one breaks off in the browser, and the page says why.
    await visitor.act('large.bin', 'Download');
    await page.getByText('“large.bin” is refused: it is not what was sealed.').waitFor();
    await page.getByText('delete what your browser kept of it').waitFor();
    await until(() => downloads.length === 1);
    expect(await downloads[0]!.failure()).not.toBeNull();
    await page.getByRole('button', { name: 'Close', exact: true }).click();

    // A zip breaks off at the file that is not sound.
    await server.damage('/refused/in a folder/deep.txt', 100);
    await page.goto(`${server.url}/files`);
    await visitor.act('refused', 'Download as zip');
    await page.getByText(/“(deep\.txt|large\.bin|small\.bin)” is refused: it is not what was sealed\./).waitFor();
    await until(() => downloads.length === 2);
    expect(await downloads[1]!.failure()).not.toBeNull();

    // And so is an older version, while the newer one is sound.
    await server.put('/refused/versions.txt', 'first');
    await server.damage('/refused/versions.txt', 100);
    await server.put('/refused/versions.txt', 'second');
    await page.goto(`${server.url}/files/refused`);
    await page.getByRole('button', { name: 'versions.txt', exact: true }).click();
    await page.getByRole('button', { name: 'Download version 1' }).click();
    await page.getByText('“versions.txt” is refused').waitFor();
    const [sound] = await Promise.all([page.waitForEvent('download'), page.getByRole('complementary').getByRole('button', { name: 'Download', exact: true }).click()]);
    expect(readFileSync((await sound.path())!, 'utf8')).toBe('second');
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

  it('is enough for everything from signing in to signing out', async () => {
    const { page } = visitor;
    const { keyboard } = page;
    await server.put('/keyboard/draft.txt', 'by keyboard');
    /** The name of what has the focus, which must show that it has it. */
    const focused = async (): Promise<string> => {
      const [name, outline] = await page.evaluate(() => {
        const at = document.activeElement!;
        const labels = (at as HTMLInputElement).labels;
        // The whole content, where a page begins, has no outline; nor does what nobody reaches by Tab.
        const outline = (at as HTMLElement).tabIndex < 0 ? 'of no use' : getComputedStyle(at).outlineStyle;
        return [at.getAttribute('aria-label') ?? labels?.[0]?.textContent ?? at.textContent ?? '', outline] as const;
      });
      expect(outline, `the focus on ${name}`).not.toBe('none');
      return name.trim();
    };
    /** Tab until something has the focus, as people do who use no mouse. */
    const tabTo = async (name: string | RegExp): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        const at = await focused();
        if (typeof name === 'string' ? at === name : name.test(at)) return;
        await keyboard.press('Tab');
      }
      throw new Error(`Tab does not lead to ${name}`);
    };
    const there = async (path: string): Promise<number> => (await server.get(`/api/v1/files/lookup?path=${encodeURIComponent(path)}`)).status;

    await page.goto(`${server.url}/files/keyboard`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await keyboard.type(person.name);
    await keyboard.press('Tab');
    await keyboard.type(person.password);
    await keyboard.press('Enter');
    await visitor.row('draft.txt').waitFor();

    await keyboard.press('n');
    await page.getByRole('dialog', { name: 'New folder' }).waitFor();
    await keyboard.type('box');
    await keyboard.press('Enter');
    await visitor.row('box').waitFor();
    await until(async () => (await page.getByRole('dialog').count()) === 0);

    await tabTo(/^Folder box/);
    await keyboard.press('End');
    await keyboard.press('F2');
    await page.getByRole('dialog', { name: /Rename/ }).waitFor();
    await keyboard.type('final'); // the part before the dot is selected
    await keyboard.press('Enter');
    await visitor.row('final.txt').waitFor();
    await until(async () => /^final/.test(await focused()));

    await keyboard.press('Enter');
    await page.getByRole('complementary', { name: 'Details' }).getByText('11 bytes').first().waitFor();
    await tabTo('Verify');
    await keyboard.press('Enter');
    await page.getByText('Exactly as it was sealed').waitFor();
    await keyboard.press('Escape');
    await until(async () => /^final/.test(await focused()));

    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight']) await keyboard.press(key);
    expect(await focused()).toBe('Actions for final.txt');
    await keyboard.press('Enter');
    await page.getByRole('menu', { name: 'Actions for final.txt' }).waitFor();
    await until(async () => (await focused()) === 'Download');
    const [download] = await Promise.all([page.waitForEvent('download'), keyboard.press('Enter')]);
    expect(readFileSync((await download.path())!, 'utf8')).toBe('by keyboard');

    await keyboard.press('Enter');
    await until(async () => (await focused()) === 'Download');
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowDown']) await keyboard.press(key);
    expect(await focused()).toBe('Move');
    await keyboard.press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'box' }).waitFor();
    await tabTo('box');
    await keyboard.press('Enter');
    await page.getByText('No folders in here.').waitFor();
    await keyboard.press('Tab');
    await tabTo('Move here');
    await keyboard.press('Enter');
    await until(async () => (await there('/keyboard/box/final.txt')) === 200);
    await until(async () => (await page.getByRole('dialog').count()) === 0);

    await until(async () => /^Folder box/.test(await focused()));
    await keyboard.press('Delete');
    await page.getByRole('dialog', { name: 'Delete “box”?' }).waitFor();
    await tabTo(/^To be sure/);
    await keyboard.type('box');
    await tabTo('Delete for good');
    await keyboard.press('Enter');
    await until(async () => (await there('/keyboard/box')) === 404);
    await page.getByRole('heading', { name: 'This folder is empty' }).waitFor();

    await tabTo('Account');
    await keyboard.press('Enter');
    await until(async () => /Your account/.test(await focused()));
    await keyboard.press('ArrowDown');
    await until(async () => /Keyboard shortcuts/.test(await focused()));
    await keyboard.press('ArrowDown');
    await keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await until(async () => (await focused()) === 'Name');
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
    const long = `${'a very long name without an end '.repeat(7)}${'x'.repeat(20)}`;
    await server.put(`/${long}/${long}.txt`, 'long');
    await page.reload();
    await visitor.row(long).waitFor();
    await visitor.fits('files');
    await visitor.examine('files on a phone');
    await visitor.row(long).getByRole('link').click();
    await page.getByRole('button', { name: `${long}.txt`, exact: true }).click();
    await page.getByRole('complementary').getByText('4 bytes').first().waitFor();
    await visitor.fits('long names');
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('dialog').waitFor();
    await visitor.fits('long names in a dialog');
    await page.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Close the details' }).click();
    await page.getByRole('button', { name: 'Open the menu' }).click();
    const menu = page.getByRole('dialog', { name: 'Main' });
    await visitor.examine('the menu on a phone');
    await menu.getByRole('button', { name: 'Close the menu' }).click();
    await until(async () => !(await menu.isVisible()));
    await page.getByRole('button', { name: 'Open the menu' }).click();
    await menu.getByRole('link', { name: 'Keys and recovery' }).click();
    await page.getByRole('heading', { name: 'Keys and recovery' }).waitFor();
  });

  it('says so when there is no such page, no such folder, or no server', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await page.goto(`${server.url}/nowhere`);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
    await visitor.examine('no such page');
    visitor.expectFailures = true;
    await page.goto(`${server.url}/files/no/such/folder`);
    expect(await page.getByRole('alert').textContent()).toMatch(/There is no such folder.*renamed, moved or deleted/);
    expect(await page.getByRole('button', { name: 'Upload', exact: true }).count()).toBe(0);
    await visitor.examine('no such folder');
    await page.getByRole('link', { name: 'To all your files' }).click();
    await visitor.row('letters').waitFor();
    await visitor.context.setOffline(true);
    await visitor.row('letters').getByRole('link').click();
    await page.getByText('The server cannot be reached.').waitFor();
    await visitor.context.setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await visitor.row('to Zoë.txt').waitFor();
  });
});

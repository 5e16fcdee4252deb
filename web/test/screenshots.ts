import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, it } from 'vitest';
import { content, launch, Visitor } from './browser';
import { person, Server } from './server';

/** Writes every page, in both themes and at two widths, into web/screenshots. `make screenshots` runs this. */

const out = fileURLToPath(new URL('../screenshots/', import.meta.url));
let browser: Browser;

beforeAll(async () => {
  mkdirSync(out, { recursive: true });
  browser = await launch();
});
afterAll(() => browser?.close());

const looks = [
  { colorScheme: 'light', width: 1440, height: 900 },
  { colorScheme: 'dark', width: 1440, height: 900 },
  { colorScheme: 'light', width: 390, height: 844 },
  { colorScheme: 'dark', width: 390, height: 844 },
] as const;

const papers: [path: string, size: number, type: string][] = [
  ['/Contracts/2026/Lease.pdf', 182_300, 'application/pdf'],
  ['/Family/Letters/to Zoë.txt', 812, 'text/plain'],
  ['/Photographs/Lake at dawn.jpg', 3_400_000, 'image/jpeg'],
  ['/Annual report.pdf', 1_240_000, 'application/pdf'],
  ['/Interview, first part.m4a', 8_100_000, 'audio/mp4'],
  ['/Ledger 2025.csv', 48_210, 'text/csv'],
  ['/Notes.txt', 412, 'text/plain'],
  ['/site-backup.tar.zst', 9_200_000, 'application/zstd'],
];

it.each(looks)('$colorScheme at $width', async ({ colorScheme, width, height }) => {
  const server = await new Server().start();
  try {
    const phone = width < 500;
    const visitor = await Visitor.open(browser, server, { viewport: { width, height }, colorScheme, reducedMotion: 'reduce', isMobile: phone, hasTouch: phone });
    visitor.expectFailures = true;
    const { page } = visitor;
    const shoot = async (name: string, fullPage = false): Promise<void> => {
      await page.waitForTimeout(250);
      await page.screenshot({ path: `${out}${name}-${colorScheme}-${width}.png`, fullPage });
    };
    const close = () => page.keyboard.press('Escape');

    await page.goto(server.url);
    await page.getByRole('heading', { name: 'Set up this vault' }).waitFor();
    await shoot('setup');
    await page.getByLabel('One-time code').fill(server.setupCode());
    await page.getByLabel('Your name').fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByLabel('Password, once more').fill(person.password);
    await page.getByRole('button', { name: 'Make the vault' }).click();
    await page.getByRole('heading', { name: 'Keep this recovery sheet' }).waitFor();
    await shoot('recovery-sheet', true);
    await page.emulateMedia({ media: 'print', colorScheme });
    await shoot('recovery-sheet-printed');
    await page.emulateMedia({ media: 'screen', colorScheme, reducedMotion: 'reduce' });
    const secret = (await page.getByTestId('secret').textContent())!;
    await page.getByLabel('The last 11 letters').fill(secret.replaceAll('-', '').trim().slice(-11));
    await page.getByRole('button', { name: 'I have kept it' }).click();
    await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await shoot('files-empty');

    for (const [path, size, type] of papers) await server.put(path, content(size), type);
    await server.put('/Notes.txt', content(520), 'text/plain');
    await page.reload();
    await visitor.row('Notes.txt').waitFor();
    await shoot('files');
    await page.getByRole('checkbox', { name: 'Select Contracts' }).check();
    await page.getByRole('checkbox', { name: 'Select Notes.txt' }).check();
    await shoot('selection');
    await page.getByRole('toolbar').getByRole('button', { name: 'Move' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Family' }).waitFor();
    await shoot('move');
    await close();
    await page.getByRole('toolbar').getByRole('button', { name: 'Delete' }).click();
    await shoot('delete');
    await close();
    await page.getByRole('button', { name: 'Clear the selection' }).click();
    await page.getByRole('button', { name: 'Actions for Ledger 2025.csv' }).click();
    await shoot('menu');
    await close();
    await page.getByRole('button', { name: 'New folder' }).click();
    await shoot('new-folder');
    await close();
    await page.getByRole('button', { name: 'Notes.txt', exact: true }).click();
    await page.getByText('Version 2').waitFor();
    await page.getByRole('button', { name: 'Verify' }).click();
    await page.getByText('Exactly as it was sealed').waitFor();
    await shoot('details');
    await page.getByRole('button', { name: 'Close the details' }).click();
    await page.locator('[data-id]').first().focus();
    await page.keyboard.press('?');
    await shoot('shortcuts');
    await close();

    await page.getByLabel('Search by name').fill('le');
    await page.keyboard.press('Enter');
    await visitor.row('Lease.pdf').waitFor();
    await shoot('search');
    await page.getByLabel('Search by name').fill('nowhere');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'Nothing found' }).waitFor();
    await shoot('search-empty');
    await page.goto(`${server.url}/keys`);
    await page.getByRole('heading', { name: 'Keys and recovery' }).waitFor();
    await shoot('keys', true);
    await page.goto(`${server.url}/files/Contracts/2024`);
    await page.getByRole('alert').waitFor();
    await shoot('error');
    await page.goto(`${server.url}/nowhere`);
    await shoot('not-found');

    await page.goto(`${server.url}/files`);
    await visitor.row('Notes.txt').waitFor();
    const cdp = await visitor.context.newCDPSession(page);
    await cdp.send('Network.enable');
    await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 900_000 });
    const file = (name: string, size: number) => ({ name, mimeType: 'application/octet-stream', buffer: content(size) });
    await visitor.choose(file('Notes.txt', 500), file('Survey of the valley.tiff', 20 << 20), file('Choir rehearsal.mov', 14 << 20), file('Minutes.docx', 40_000));
    await page.waitForTimeout(3500);
    await shoot('uploads');
    await visitor.context.setOffline(true);
    await page.getByRole('heading', { name: 'No network: uploads wait' }).waitFor();
    await shoot('uploads-offline');
    await visitor.context.setOffline(false);
    await page.getByRole('button', { name: 'Cancel all uploads' }).click();
    await shoot('cancel-uploads');
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel all uploads' }).click();

    await page.getByRole('button', { name: 'Account' }).click();
    await shoot('account');
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await shoot('sign-in');
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await shoot('sign-in-refused');
    await visitor.leave();
  } finally {
    await server.end();
  }
});

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, it } from 'vitest';
import { content, launch, Visitor } from './browser';
import { other, person, Server } from './server';
import { shootPeople, shootWaysIn } from './shots.people';
import { shootQuantum } from './shots.quantum';

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
  ['/DSC_20260301_093000_northern_boundary_with_the_surveyor_and_both_neighbours_colour_corrected.jpeg', 2_100_000, 'image/jpeg'],
  ['/Correspondence with the land registry about the northern boundary/Second instance, spring 2026/Annex 12, signed by everybody concerned in the presence of two witnesses (final).pdf', 91_000, 'application/pdf'],
];

it.each(looks)('$colorScheme at $width', async ({ colorScheme, width, height }) => {
  const server = await new Server().start();
  try {
    const phone = width < 500;
    const look = { viewport: { width, height }, colorScheme, reducedMotion: 'reduce', isMobile: phone, hasTouch: phone } as const;
    const visitor = await Visitor.open(browser, server, look);
    visitor.expectFailures = true;
    const { page } = visitor;
    const shooting = (of: Page) => async (name: string, fullPage = false): Promise<void> => {
      await of.waitForTimeout(250);
      await of.screenshot({ path: `${out}${name}-${colorScheme}-${width}.png`, fullPage });
    };
    const shoot = shooting(page);
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
    await page.getByLabel('The last 11 letters').fill('WRONG-DIGIT');
    await page.getByRole('button', { name: 'I have kept it' }).click();
    await shoot('recovery-sheet-wrong');
    // Somebody who leaves the sheet is reminded, and may confirm it later.
    page.once('dialog', (dialog) => void dialog.accept());
    await page.reload();
    await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    await shoot('files-empty');
    await page.getByText('The recovery sheet has not been confirmed').click();
    await page.getByLabel('Recovery secret, as on the sheet').fill(secret);
    await shoot('keys-unconfirmed', true);
    await page.getByRole('button', { name: 'Confirm that it is kept' }).click();
    await page.getByText('The recovery sheet is confirmed.').waitFor();
    await shoot('keys', true);
    await page.goto(`${server.url}/files`);

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
    await page.goto(`${server.url}/files/Contracts/2024`);
    await page.getByRole('alert').waitFor();
    await shoot('no-such-folder');
    await page.goto(`${server.url}/nowhere`);
    await shoot('not-found');

    // Names that are longer than the room there is.
    await page.goto(`${server.url}${encodeURI('/files/Correspondence with the land registry about the northern boundary/Second instance, spring 2026')}`);
    await page.getByRole('button', { name: /^Annex 12/ }).click();
    await page.getByText('91,000 bytes').waitFor();
    await shoot('long-names');
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await shoot('long-names-delete');
    await close();
    await page.getByRole('button', { name: 'Close the details' }).click();

    // What happened so far, some of it by somebody else.
    server.makeAccount(other, 'user');
    await server.put('/Choir/Seating plan.svg', content(3000), 'image/svg+xml', other);
    for (let i = 0; i < 3; i++) await fetch(`${server.url}/api/v1/sessions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: other.name, password: 'guessed at random' }) });
    await page.goto(`${server.url}/audit`);
    await page.locator('[data-event]').first().waitFor();
    await page.getByText('being added').waitFor({ state: 'detached' });
    await shoot('activity');
    await shoot('activity-whole', true);
    await page.goto(`${server.url}/audit?kind=accounts`);
    await page.getByText('A key came into use').first().waitFor();
    await shoot('activity-accounts');
    await page.goto(`${server.url}/audit?kind=server&until=2020-01-01`);
    await page.getByRole('heading', { name: 'Nothing fits' }).waitFor();
    await shoot('activity-empty');
    await page.goto(`${server.url}/audit?kind=files`);
    const event = page.getByRole('complementary', { name: 'Event' });
    await page.locator('[data-event]').filter({ hasText: 'Lease.pdf' }).click();
    await event.getByText('Proven: this event is in the log').waitFor();
    await shoot('event');
    await event.getByRole('heading', { name: 'Path to the root' }).evaluate((heading) => heading.scrollIntoView());
    await shoot('event-path');
    await event.getByText('Whole fingerprints').click();
    await event.getByText('Whole fingerprints').evaluate((summary) => summary.scrollIntoView());
    await shoot('event-fingerprints');
    await page.getByRole('button', { name: 'Close the event' }).click();
    await page.route('**/receipt', async (route) => {
      const response = await route.fetch();
      const lines = (await response.text()).split('\n');
      lines[4] = (lines[4]!.startsWith('A') ? 'B' : 'A') + lines[4]!.slice(1);
      await route.fulfill({ response, body: lines.join('\n') });
    });
    await page.locator('[data-event]').filter({ hasText: 'Lease.pdf' }).click();
    await event.getByText('This does not hold').waitFor();
    await event.getByRole('heading', { name: 'Path to the root' }).evaluate((heading) => heading.scrollIntoView());
    await shoot('event-not-holding');
    await page.unroute('**/receipt');
    await page.getByRole('button', { name: 'Close the event' }).click();
    const unsigned = /\/api\/v1\/audit\/events\/\d+$/;
    await page.route(unsigned, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...((await response.json()) as object), log: 7 } });
    });
    await page.locator('[data-event]').filter({ hasText: 'Lease.pdf' }).click();
    await event.getByText('Not proven here').waitFor();
    await event.getByRole('heading', { name: 'Path to the root' }).evaluate((heading) => heading.scrollIntoView());
    await shoot('event-unchecked');
    await page.unroute(unsigned);

    const links = await shootPeople(visitor, server, shoot);
    await shootQuantum(visitor, server, shoot);
    const guest = await Visitor.open(browser, server, look);
    guest.expectFailures = true;
    await shootWaysIn(guest, server, links, shooting(guest.page));
    await guest.leave();

    await page.goto(`${server.url}/files`);
    await server.damage('/Annual report.pdf', 700_000);
    await page.getByRole('button', { name: 'Annual report.pdf', exact: true }).click();
    await page.getByRole('button', { name: 'Verify' }).click();
    await page.getByText('Not what was sealed').waitFor();
    await page.getByRole('complementary').getByRole('button', { name: 'Download' }).click();
    await page.getByText('“Annual report.pdf” is refused').waitFor();
    await shoot('refused');
    await page.getByRole('button', { name: 'Close', exact: true }).click();
    await page.getByRole('button', { name: 'Close the details' }).click();
    if (phone) {
      await page.getByRole('button', { name: 'Open the menu' }).click();
      await shoot('drawer');
      await close();
    }

    await page.goto(`${server.url}/files`);
    await visitor.row('Notes.txt').waitFor();
    const cdp = await visitor.context.newCDPSession(page);
    await cdp.send('Network.enable');
    await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 900_000 });
    const data = { items: [], files: [fileURLToPath(import.meta.url)], dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver'] as const) await cdp.send('Input.dispatchDragEvent', { type, x: width / 2, y: 400, data });
    await shoot('drop');
    await page.getByText('Drop to upload into').waitFor({ state: 'detached' });
    const file = (name: string, size: number) => ({ name, mimeType: 'application/octet-stream', buffer: content(size) });
    const survey = file('Survey of the northern boundary, all sheets, in colour and at full size.tiff', 20 << 20);
    await visitor.choose(file('Notes.txt', 500), survey, file('Choir rehearsal.mov', 14 << 20), file('Minutes.docx', 40_000));
    await page.waitForTimeout(3500);
    await shoot('uploads');
    await visitor.context.setOffline(true);
    await page.getByRole('heading', { name: 'No network: uploads wait' }).waitFor();
    await shoot('uploads-offline');
    await visitor.context.setOffline(false);
    await page.getByRole('button', { name: /^Pause Survey/ }).click();
    await page.getByRole('button', { name: 'Cancel all uploads' }).click();
    await shoot('cancel-uploads');
    await close();
    page.once('dialog', (dialog) => void dialog.accept());
    await page.reload();
    await page.getByTestId('interrupted').first().waitFor();
    await shoot('uploads-interrupted');
    await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    for (let left = await page.getByTestId('interrupted').count(); left > 0; left--) {
      await page.getByRole('button', { name: 'Discard' }).first().click();
      await page.getByTestId('interrupted').nth(left - 1).waitFor({ state: 'detached' });
    }
    await visitor.choose(file('Seating plan.svg', 3000), file('Programme.pdf', 200_000));
    await page.getByRole('heading', { name: '2 files uploaded' }).waitFor();
    await shoot('uploads-done');
    await page.getByRole('button', { name: 'Close', exact: true }).click();

    await page.getByRole('button', { name: 'Account', exact: true }).click();
    await shoot('account');
    await page.getByRole('menuitem', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await shoot('sign-in');
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await shoot('sign-in-refused');
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visitor.row('Notes.txt').waitFor();
    await visitor.context.clearCookies();
    await visitor.row('Family').getByRole('link').click();
    await page.getByText('Your session has ended').waitFor();
    await shoot('session-ended');
    await server.stop();
    await page.getByLabel('Name', { exact: true }).fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').waitFor();
    await shoot('unreachable');
    await visitor.leave();
  } finally {
    await server.end();
  }
});

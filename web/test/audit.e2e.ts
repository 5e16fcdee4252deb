import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from '../src/audit/bytes';
import { parseKey } from '../src/audit/checkpoint';
import { checkReceipt } from '../src/audit/receipt';
import { content, launch, Visitor } from './browser';
import { other, Server, until } from './server';

let browser: Browser;
let server: Server;
let visitor: Visitor;

beforeAll(async () => {
  server = new Server();
  server.makeAdmin();
  server.makeAccount(other, 'user');
  await server.start();
  await server.put('/letters/to Ann.txt', 'Dear Ann');
  await server.put('/letters/to Zoë.txt', 'Dear Zoë');
  await server.put('/big.bin', content(300_000));
  await server.put('/small.txt', 'small');
  await server.put('/small.txt', 'smaller');
  for (let i = 0; i < 60; i++) await server.put(`/many/${String(i).padStart(2, '0')}.txt`, `number ${i}`);
  await server.put('/hers.txt', 'of the other one', 'text/plain', other);
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

/** The row of an event that says this, the newest of them. */
const event = (text: string | RegExp) => visitor.page.getByRole('list', { name: 'Events' }).getByRole('listitem').filter({ hasText: text }).first();
const panel = () => visitor.page.getByRole('complementary', { name: 'Event' });
const open = (text: string | RegExp) => event(text).getByRole('link').click();

async function enter(path = '/audit', who?: typeof other): Promise<void> {
  await visitor.signIn(path, who);
  await visitor.page.getByRole('heading', { name: 'Activity' }).waitFor();
}

describe('the list', () => {
  it('is found in the menu, and tells what happened in words', async () => {
    const { page } = visitor;
    await visitor.signIn();
    const [saved] = await Promise.all([page.waitForEvent('download'), visitor.act('big.bin', 'Download')]);
    expect(readFileSync((await saved.path())!)).toHaveLength(300_000);
    await page.getByRole('link', { name: 'Activity' }).click();
    await page.getByText('Everything that happened in this vault').waitFor();
    await event('You signed in').waitFor();
    await event('The download of /big.bin is complete').waitFor();
    await event('You began to download /big.bin').waitFor();
    expect(await event('You stored /hers.txt').count()).toBe(0);
    expect(await event(`${other.name} stored /hers.txt`).textContent()).toMatch(/16 bytes · from 127\.0\.0\.1/);
    expect(await event(`${other.name} stored /hers.txt`).locator('time').getAttribute('title')).toMatch(/\d{4} at \d\d:\d\d:\d\d/);
    const state = page.getByRole('region', { name: 'The log' });
    expect(await state.textContent()).toMatch(/Events\d+.*Last signed(just now|\d).*Anchoring is not switched on/s);
    await visitor.examine('activity');
    await visitor.fits('activity');
  });

  it('goes back to the first event', async () => {
    const { page } = visitor;
    await enter();
    await event('stored').waitFor();
    const rows = page.locator('[data-event]');
    expect(await rows.count()).toBe(50);
    for (let n = 50; (await page.getByText('This is the oldest event.').count()) === 0; n = await rows.count()) {
      await page.getByRole('button', { name: 'Show older' }).click();
      await until(async () => (await rows.count()) > n || (await page.getByText('This is the oldest event.').count()) > 0);
    }
    const ids = await rows.evaluateAll((links) => links.map((link) => Number((link as HTMLElement).dataset.event)));
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => b - a));
    expect(await event('This log began').count()).toBe(1);
    expect(await event(`An account was made on the server: ${other.name}`).count()).toBe(1);
    expect(await event('A key came into use: the root key of the vault').count()).toBe(1);
    expect(await event('no words for').count()).toBe(0);
  });

  it('takes in what happens while somebody follows', async () => {
    const { page } = visitor;
    await enter();
    await event('stored').waitFor();
    // The page goes on asking while the sign-in has no place in the log yet.
    await until(async () => (await page.getByText('being added').count()) === 0);
    await server.put('/while nobody looks.txt', '1');
    await page.waitForTimeout(2500);
    expect(await event('/while nobody looks.txt').count()).toBe(0);
    const live = page.getByRole('button', { name: 'Live' });
    await live.click();
    expect(await live.getAttribute('aria-pressed')).toBe('true');
    await event('/while nobody looks.txt').waitFor();
    await server.put('/while somebody looks.txt', '2');
    await event('/while somebody looks.txt').waitFor();
    await until(async () => (await page.getByText('being added').count()) === 0);
    await until(async () => /new event/.test((await page.getByTestId('spoken').textContent()) ?? ''));
    await live.click();
    expect(await live.getAttribute('aria-pressed')).toBe('false');
  });

  it('counts refusals and failed sign-ins', async () => {
    for (let i = 0; i < 3; i++) {
      const reply = await fetch(`${server.url}/api/v1/sessions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name: other.name, password: 'not this one, of course' }) });
      expect(reply.status).toBe(401);
    }
    await enter('/audit?kind=access');
    await event(`Signing in as ${other.name} failed`).waitFor();
    expect(await event(`Signing in as ${other.name} failed`).textContent()).toMatch(/from 127\.0\.0\.1/);
  });

  it('says what went wrong, and tries again', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await page.route('**/api/v1/audit/events?*', (route) => route.abort());
    await enter();
    await page.getByRole('alert').getByText('The server cannot be reached.').waitFor();
    await page.unroute('**/api/v1/audit/events?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await event('You signed in').waitFor();
  });
});

describe('filters', () => {
  it('are kinds, days and oneself, and stand in the address', async () => {
    const { page } = visitor;
    await enter();
    await event('stored').waitFor();
    await page.getByRole('radio', { name: 'Accounts and keys' }).check();
    await event('A key came into use').waitFor();
    expect(await event('stored').count()).toBe(0);
    expect(new URL(page.url()).search).toBe('?kind=accounts');
    await page.getByRole('radio', { name: 'Sign-ins and refusals' }).check();
    await event('You signed in').waitFor();
    await page.getByRole('checkbox', { name: 'Only mine' }).check();
    await until(async () => (await event(other.name).count()) === 0);
    expect(new URL(page.url()).search).toBe('?kind=access&mine=1');
    await page.reload();
    await event('You signed in').waitFor();
    expect(await page.getByRole('radio', { name: 'Sign-ins and refusals' }).isChecked()).toBe(true);
    expect(await page.getByRole('checkbox', { name: 'Only mine' }).isChecked()).toBe(true);

    const day = (later: number): string => new Date(Date.now() + later * 86_400_000).toISOString().slice(0, 10);
    await page.getByLabel('From').fill(day(0));
    await page.getByLabel('Until').fill(day(0));
    await event('You signed in').waitFor();
    await page.getByLabel('Until').fill(day(-1));
    await page.getByText('The first day is after the last one').waitFor();
    await page.getByRole('heading', { name: 'Nothing fits' }).waitFor();
    await visitor.examine('nothing fits');
    await visitor.fits('filters');
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await event('stored').waitFor();
    expect(new URL(page.url()).search).toBe('');
  });

  it('are one file, from its details', async () => {
    const { page } = visitor;
    await visitor.signIn();
    await page.getByRole('button', { name: 'small.txt', exact: true }).click();
    await page.getByRole('link', { name: 'Activity of this file' }).click();
    await event('You stored a new version of /small.txt').waitFor();
    await event('You stored /small.txt').waitFor();
    expect(await page.locator('[data-event]').count()).toBeLessThan(5);
    expect(await event('big.bin').count()).toBe(0);
    await page.getByRole('button', { name: 'Only of small.txt' }).click();
    await event('You signed in').waitFor();
  });
});

describe('an event', () => {
  it('is proven by its path, has a receipt, and says that it is not anchored', async () => {
    const { page } = visitor;
    await enter('/audit?kind=files');
    await open('You stored /many/57.txt');
    await panel().getByText('Proven: this event is in the log').waitFor();
    const text = (await panel().textContent()) ?? '';
    expect(text).toMatch(/You stored \/many\/57\.txt.*Path to the root ?Proven.*Typefile\.put/s);
    expect(text).toMatch(/Whose file.*\/many\/57\.txt.*What happened.*9 bytes/s);
    expect(text).toMatch(/equals the root signed in the checkpoint of \d+ events/);
    expect(text).toMatch(/3 parts of the event fit.*The path leads to the signed root.*The signature of the head is by this log’s key \(Ed25519\).*stonevault audit verify/s);
    expect(text).toMatch(/Anchoring is not switched on/);
    expect(await panel().getByRole('list', { name: 'The path' }).getByRole('listitem').count()).toBeGreaterThan(6);
    await visitor.examine('an event');
    await visitor.fits('an event');

    const [saved] = await Promise.all([page.waitForEvent('download'), panel().getByRole('button', { name: 'Download receipt' }).click()]);
    expect(saved.suggestedFilename()).toMatch(/^event-\d+\.tlog-proof$/);
    const receipt = readFileSync(await saved.path(), 'utf8');
    const { public_key: key } = (await (await server.get('/api/v1/audit')).json()) as { public_key: string };
    const report = await checkReceipt(bytesOf(receipt), await parseKey(key));
    expect(report).toMatchObject({ faults: [], signature: 'good', opened: { values: { subject: { path: '/many/57.txt' } } } });
  });

  it('is opened by its address, and every event of a small log holds', async () => {
    const { page } = visitor;
    await enter('/audit?kind=server');
    await event('This log began').waitFor();
    const rows = page.locator('[data-event]');
    for (let i = 0; i < (await rows.count()); i++) {
      const id = (await rows.nth(i).getAttribute('data-event'))!;
      await page.goto(`${server.url}/audit?event=${id}`);
      await panel().getByText('Proven: this event is in the log').waitFor();
      await page.goto(`${server.url}/audit?kind=server`);
      await rows.first().waitFor();
    }
    visitor.expectFailures = true;
    await page.goto(`${server.url}/audit?event=999999`);
    await panel().getByRole('alert').getByText('There is no such event').waitFor();
  });

  it('does not hold with a receipt that was tampered with', async () => {
    const { page } = visitor;
    let change = (receipt: string): string => receipt;
    await page.route('**/api/v1/audit/events/*/receipt', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: change(await response.text()) });
    });
    const flip = (text: string, at: number): string => text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
    const lines = (receipt: string): string[] => receipt.split('\n');
    const inLine = (n: number, at: number) => (receipt: string): string => lines(receipt).map((line, i) => (i === n ? flip(line, at) : line)).join('\n');
    await enter('/audit?kind=files');
    const fails = async (sentence: string): Promise<void> => {
      await open('You stored /many/56.txt');
      await panel().getByRole('alert').getByText('This does not hold').waitFor();
      await panel().getByRole('alert').getByText(sentence).waitFor();
      expect(await panel().getByText('Proven').count()).toBe(0);
      await visitor.examine(`an event that does not hold: ${sentence}`);
      await page.keyboard.press('Escape');
      await until(async () => (await panel().count()) === 0);
    };
    change = inLine(4, 10); // a hash of the path
    await fails('The path does not lead to the root that is signed.');
    change = inLine(1, 'extra '.length + 300); // an opening
    await fails('What the event says is not what was sealed into the log.');
    change = (receipt) => lines(receipt).map((line, i, all) => (all[i - 1] === '' && i < all.length - 3 ? `${line}x` : line)).join('\n'); // another log's name
    await fails('The signed head in the receipt is written in a way that no log writes.');
    change = (receipt) => receipt.replace(/(— \S+ \S{20})(\S)/, (_, before: string, letter: string) => before + (letter === 'A' ? 'B' : 'A')); // Ed25519
    await fails('The head is not signed by this log’s key.');
    change = () => 'nothing';
    await fails('What the server gave is not a receipt.');
    // A receipt that holds, and is another event's.
    const stranger = await (await server.get('/api/v1/audit/receipts/0')).text();
    change = () => stranger;
    await fails('The receipt says something else than what is shown here.');
  });

  it('is not called proven where the signature was not checked', async () => {
    const { page } = visitor;
    await page.route(/\/api\/v1\/audit\/events\/\d+$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...((await response.json()) as object), log: 7 } });
    });
    await enter('/audit?kind=files');
    await open('You stored /many/54.txt');
    await panel().getByText('Not proven here').waitFor();
    await panel().getByText('Not checked', { exact: true }).waitFor();
    expect(await panel().getByText('Proven', { exact: true }).count()).toBe(0);
    await visitor.examine('an event of which not all could be checked');
  });

  it('is not believed where the list says something else than the receipt', async () => {
    const { page } = visitor;
    await page.route(/\/api\/v1\/audit\/events\/\d+$/, async (route) => {
      const response = await route.fetch();
      const told = (await response.json()) as { subject: { path: string } };
      told.subject.path = '/elsewhere.txt';
      await route.fulfill({ response, json: told });
    });
    await enter('/audit?kind=files');
    await open('You stored /many/55.txt');
    await panel().getByText('You stored /elsewhere.txt').waitFor();
    await panel().getByRole('alert').getByText('The receipt says something else').waitFor();
  });

  it('that is being added, erased or damaged says so', async () => {
    const { page } = visitor;
    let change: (told: Record<string, unknown>) => void = () => {};
    await page.route(/\/api\/v1\/audit\/events(\?.*|\/\d+)$/, async (route) => {
      const response = await route.fetch();
      const told = (await response.json()) as Record<string, unknown> & { items?: Record<string, unknown>[] };
      for (const each of told.items ?? [told]) if ((each.subject as { path?: string } | undefined)?.path === '/many/54.txt') change(each);
      await route.fulfill({ response, json: told });
    });
    change = (told) => {
      delete told.index;
      delete told.log;
    };
    await enter('/audit?kind=files');
    await event('/many/54.txt').getByText('being added').waitFor();
    await open('/many/54.txt');
    await panel().getByText('This event is being added to the log.').waitFor();
    await visitor.examine('an event that is being added');
    change = () => {};
    await panel().getByText('Proven: this event is in the log').waitFor();
    await until(async () => (await page.getByText('being added').count()) === 0);

    change = (told) => {
      delete told.actor;
      delete told.subject;
      told.erased = ['actor', 'subject'];
    };
    await page.reload();
    await panel().getByText('Somebody (erased) stored a file (name erased)').waitFor();
    expect(await panel().textContent()).toMatch(/Erased together with all that the log said of this person/);
    await event('Somebody (erased)').getByText('erased', { exact: true }).waitFor();
    // Nothing was erased in truth, and the receipt shows it.
    await panel().getByRole('alert').getByText('The receipt says something else').waitFor();
    await visitor.examine('an erased event');

    change = (told) => {
      for (const slot of ['actor', 'subject', 'operational']) delete told[slot];
      told.damaged = true;
    };
    await page.reload();
    await panel().getByRole('alert').getByText('is not what was recorded').waitFor();
    await event('A stored event was changed or damaged').getByText('damaged', { exact: true }).waitFor();
    await visitor.examine('a damaged event');
  });

  it('of somebody who was erased is proven all the same', async () => {
    const gone = { name: 'cleo', password: 'eleven kites above the salt works' };
    server.makeAccount(gone, 'user');
    await server.put('/private.txt', 'hers', 'text/plain', gone);
    const path = '/api/v1/audit/events?type=file.put&limit=10';
    const { items } = (await (await server.get(path)).json()) as { items: { id: number; subject?: { path: string } }[] };
    const { id } = items.find((each) => each.subject?.path === '/private.txt')!;
    server.erase(gone);
    await enter(`/audit?kind=files&event=${id}`);
    await panel().getByText('Somebody (erased) stored a file (name erased)').waitFor();
    await panel().getByText('Proven: this event is in the log').waitFor();
    expect(await panel().textContent()).toMatch(/Who did it.*Erased together with.*Whose file.*Erased together with.*1 part of the event fits/s);
    expect(await visitor.page.getByText(/private\.txt|cleo/).count()).toBe(0);
    await visitor.page.goto(`${server.url}/audit?kind=accounts`);
    await event('erased what this log said of a person').waitFor();
  });

  it('has an anchor, or waits for one', async () => {
    const { page } = visitor;
    const log = (await (await server.get('/api/v1/audit')).json()) as { size: number };
    const at = '2026-03-01T09:30:00Z';
    const anchor = (id: number, size: number, state = 'final') => ({ id, state, chain_id: 80002, contract: `0x${'c'.repeat(40)}`, creator: `0x${'d'.repeat(40)}`, transaction: `0x${String(id).repeat(64)}`, block: 1000 + id, size, root: 'r', at });
    await page.route('**/api/v1/audit', async (route) => {
      const response = await route.fetch();
      const told = (await response.json()) as Record<string, unknown>;
      told.anchoring = { configured: true, chain_id: 80002, condition: 'funds_low', problem: 'Send coins to 0x12.', anchored_size: 20, anchored_at: at };
      await route.fulfill({ response, json: told });
    });
    await page.route('**/api/v1/audit/anchors?*', (route) => route.fulfill({ json: { items: [anchor(4, 30, 'sent'), anchor(3, 20), anchor(2, 10), anchor(1, 1)] } }));
    await enter('/audit?kind=server');
    await page.getByText('The account that pays for anchors holds too little.').waitFor();
    await page.getByText('Send coins to 0x12.').waitFor();
    await open('This log began');
    await panel().getByText('Anchored, with the log’s first event').waitFor();
    expect(await panel().textContent()).toMatch(/Polygon Amoy.*1,?001.*0x1{64}.*https:\/\/amoy\.polygonscan\.com\/tx\/0x1{64}/s);
    expect(await panel().locator('a[href*="polygonscan"]').count()).toBe(0);
    await visitor.context.grantPermissions(['clipboard-read', 'clipboard-write']);
    await panel().getByRole('button', { name: 'Copy Transaction' }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`0x${'1'.repeat(64)}`);
    await visitor.examine('an anchored event');
    await visitor.fits('an anchored event');
    await page.goto(`${server.url}/audit?kind=files`);
    await open('/many/59.txt');
    await panel().getByText(/Not anchored yet; \d+ events are newer than the last anchor\./).waitFor();
    expect(log.size).toBeGreaterThan(20);
  });

  it('is not checked where the browser lets no page do so', async () => {
    const { page } = visitor;
    // As over plain http from another machine.
    await page.addInitScript(() => Object.defineProperty(Crypto.prototype, 'subtle', { get: () => undefined }));
    await enter('/audit?kind=files');
    await open('You stored /many/53.txt');
    await panel().getByText('Over an address without https').waitFor();
    await panel().getByRole('button', { name: 'Download receipt' }).waitFor();
    expect(await panel().getByText('Proven').count()).toBe(0);
  });
});

describe('others than administrators', () => {
  it('see what concerns them, and can prove it', async () => {
    const { page } = visitor;
    await enter('/audit', other);
    await page.getByText('What you did, and what was done to your account and your files.').waitFor();
    await event('You stored /hers.txt').waitFor();
    await event('You signed in').waitFor();
    expect(await event('/many/').count()).toBe(0);
    expect(await event('The server started').count()).toBe(0);
    expect(await page.getByRole('checkbox', { name: 'Only mine' }).count()).toBe(0);
    await open('You stored /hers.txt');
    await panel().getByText('Proven: this event is in the log').waitFor();
    await visitor.examine('an event of somebody else than an administrator');
    const all = (await (await server.get('/api/v1/audit/events?type=file.put&limit=100')).json()) as { items: { id: number; subject?: { path: string } }[] };
    const foreign = all.items.find((each) => each.subject?.path === '/big.bin')?.id ?? all.items.find((each) => each.subject?.path !== '/hers.txt')!.id;
    visitor.expectFailures = true;
    await page.goto(`${server.url}/audit?event=${foreign}`);
    await panel().getByRole('alert').getByText('There is no such event, or you may not see it.').waitFor();
  });
});

describe('the keyboard', () => {
  it('does everything', async () => {
    const { page } = visitor;
    const { keyboard } = page;
    await enter();
    await event('stored').waitFor();
    const focused = () => page.evaluate(() => [document.activeElement?.getAttribute('aria-label') ?? '', (document.activeElement as HTMLInputElement | null)?.labels?.[0]?.textContent ?? '', document.activeElement?.textContent ?? ''].find((text) => text.trim())?.trim() ?? '');
    const tabTo = async (name: string): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        if ((await focused()) === name) return;
        await keyboard.press('Tab');
      }
      throw new Error(`Tab does not lead to ${name}`);
    };
    await tabTo('Live');
    await tabTo('Everything');
    await keyboard.press('ArrowRight');
    expect(await focused()).toBe('Files and folders');
    await until(() => new URL(page.url()).search === '?kind=files');
    // In this order: for a moment there is neither.
    await until(async () => (await event('signed in').count()) === 0 && (await event('stored').count()) > 0);
    await tabTo('Clear the filters');
    await keyboard.press('Tab');
    expect(await page.evaluate(() => (document.activeElement as HTMLElement).dataset.event)).toMatch(/^\d+$/);
    const first = await focused();
    await keyboard.press('ArrowDown');
    await keyboard.press('ArrowDown');
    const third = await focused();
    expect(third).not.toBe(first);
    await keyboard.press('Enter');
    await panel().getByText('Proven: this event is in the log').waitFor();
    await until(async () => (await focused()) === third);
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('H2');
    await tabTo('Whole fingerprints');
    await keyboard.press('Enter');
    await panel().getByText('The signed root', { exact: true }).waitFor();
    await tabTo('Download receipt');
    await keyboard.press('Escape');
    await until(async () => (await panel().count()) === 0);
    await until(async () => (await focused()) === third);
    expect(await page.evaluate(() => document.activeElement?.tagName)).toBe('A');
    await keyboard.press('Home');
    await until(async () => (await focused()) === first);
    await keyboard.press('End');
    await tabTo('Show older');
    const before = await page.locator('[data-event]').count();
    await keyboard.press('Enter');
    await until(async () => (await page.locator('[data-event]').count()) > before);
  });
});

import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launch, Visitor } from './browser';
import { other, person, Server, until } from './server';
import { totp } from './totp';

let browser: Browser;
let server: Server;
let visitor: Visitor;
const boss = { name: 'mona', password: 'four wooden spoons in a tin cup' };

beforeAll(async () => {
  server = new Server();
  server.makeAdmin();
  server.makeAccount(other, 'user');
  server.makeAccount(boss, 'manager');
  await server.start();
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

const dialog = (of = visitor) => of.page.getByRole('dialog').last();

/** Signs in and goes to a page; the account is nobody's who has a second factor. */
async function enter(path: string, heading: string, who = person, as = visitor): Promise<void> {
  await as.signIn(path, who);
  await as.page.getByRole('heading', { name: heading, exact: true, level: 1 }).waitFor();
}

async function typeIn(as: Visitor, who: { name: string; password: string }): Promise<void> {
  await as.page.getByLabel('Name', { exact: true }).fill(who.name);
  await as.page.getByLabel('Password', { exact: true }).fill(who.password);
  await as.page.getByRole('button', { name: 'Sign in' }).click();
}

async function signOut(): Promise<void> {
  await visitor.page.getByRole('button', { name: 'Account' }).click();
  await visitor.page.getByRole('menuitem', { name: 'Sign out' }).click();
  await visitor.page.getByRole('heading', { name: 'Sign in' }).waitFor();
}

/** Confirms the second factor that the page has begun, and returns its secret and the recovery codes. */
async function confirmFactor(): Promise<{ secret: string; codes: string[] }> {
  const { page } = visitor;
  await page.getByRole('img', { name: 'QR code for the authenticator app' }).waitFor();
  const secret = (await page.getByTestId('factor-secret').textContent())!.trim();
  await page.getByLabel('Code from the app').fill(totp(secret));
  await page.getByRole('button', { name: 'Confirm the code' }).click();
  await page.getByRole('heading', { name: 'Keep these recovery codes' }).waitFor();
  return { secret, codes: await page.getByTestId('recovery-codes').getByRole('listitem').allTextContents() };
}

describe('one’s account', () => {
  it('has tokens that work until they are revoked', async () => {
    const { page } = visitor;
    await enter('/account', 'Your account');
    await visitor.examine('one’s account');
    await visitor.fits('one’s account');

    await page.getByRole('button', { name: 'Make a token' }).click();
    await dialog().getByLabel('What it is for').fill('a test');
    await dialog().getByRole('button', { name: 'Make a token' }).click();
    const token = await page.getByTestId('once').inputValue();
    expect(token).toMatch(/^svp_/);
    await visitor.examine('a token, once');
    await dialog().getByRole('button', { name: 'Done' }).click();
    expect(await page.content()).not.toContain(token);
    const use = async (path: string, init: RequestInit = {}): Promise<number> => (await fetch(server.url + path, { ...init, headers: { Authorization: `Bearer ${token}` } })).status;
    expect(await use('/api/v1/files')).toBe(200);
    expect(await use('/api/v1/content/refused.txt', { method: 'PUT', body: 'x' })).toBe(403); // it reads and does not write

    await page.getByRole('button', { name: 'Revoke the token a test' }).click();
    await dialog().getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('The token “a test” is revoked.').waitFor();
    expect(await use('/api/v1/files')).toBe(401);
  });

  it('lists sessions, ends them, and ends all others with a new password', async () => {
    const { page } = visitor;
    await enter('/account', 'Your account', other);
    const second = await Visitor.open(browser, server);
    second.expectFailures = true;
    await second.signIn('/', other);
    await page.reload();
    const rows = page.getByRole('list', { name: 'Where you are signed in' }).getByRole('listitem');
    await until(async () => (await rows.count()) >= 2);
    expect(await rows.first().textContent()).toMatch(/this one.*127\.0\.0\.1/s);
    expect(await rows.filter({ hasText: 'this one' }).count()).toBe(1);
    await page.getByRole('button', { name: 'End all others' }).click();
    await dialog().getByRole('button', { name: 'End all others' }).click();
    await until(async () => (await rows.count()) === 1);
    await second.page.reload();
    await second.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await second.leave();

    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByLabel('Password until now').fill('not this one at all');
    await page.getByLabel('New password').fill('twelve grey geese and a boat');
    await page.getByLabel('Password, once more').fill('twelve grey geese');
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('The two passwords differ').waitFor();
    await page.getByLabel('Password, once more').fill('twelve grey geese and a boat');
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('This is not your password.').waitFor();
    await page.getByLabel('Password until now').fill(other.password);
    await page.getByRole('button', { name: 'Change the password' }).click();
    await page.getByText('The password is changed').waitFor();
    await signOut();
    await typeIn(visitor, { ...other, password: 'twelve grey geese and a boat' });
    await page.getByRole('button', { name: 'Account' }).waitFor();
    other.password = 'twelve grey geese and a boat';
  });

  it('has a second factor: by the app, by a recovery code, and taken away with the password', async () => {
    const { page } = visitor;
    await enter('/account', 'Your account', boss);
    await page.getByRole('button', { name: 'Set up a second factor' }).click();
    await page.getByRole('img', { name: 'QR code for the authenticator app' }).waitFor();
    await visitor.examine('setting up a second factor');
    await visitor.fits('setting up a second factor');
    const { secret, codes } = await confirmFactor();
    expect(new Set(codes).size).toBe(10);
    await visitor.examine('recovery codes');
    await visitor.fits('recovery codes');
    const [saved] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save as a file' }).click()]);
    const kept = readFileSync(await saved.path(), 'utf8');
    for (const code of codes) expect(kept).toContain(code);
    await page.emulateMedia({ media: 'print' });
    expect(await page.getByTestId('recovery-codes').isVisible()).toBe(true);
    expect(await page.getByRole('heading', { name: 'API tokens' }).isVisible()).toBe(false);
    await page.emulateMedia({ media: 'screen' });
    await page.getByLabel('I have kept them').check();
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('10 recovery codes are left').waitFor();
    expect(await page.content()).not.toContain(codes[0]!);

    await signOut();
    visitor.expectFailures = true;
    await typeIn(visitor, boss);
    const code = page.getByLabel('Code from the app');
    await code.waitFor();
    expect(await code.getAttribute('autocomplete')).toBe('one-time-code');
    await visitor.examine('the second step');
    await visitor.fits('the second step');
    await code.fill(totp(secret, 1000));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This is not the code').waitFor();
    await code.fill(totp(secret, 1)); // the one of now confirmed the factor, and works once
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Account' }).waitFor();

    await signOut();
    await typeIn(visitor, boss);
    await page.getByRole('button', { name: 'Use a recovery code instead' }).click();
    await page.getByLabel('Recovery code').fill(codes[3]!);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Account' }).waitFor();
    await page.goto(`${server.url}/account`);
    await page.getByText('9 recovery codes are left').waitFor();
    await page.getByRole('button', { name: 'Take it away' }).click();
    await dialog().getByLabel('Your password').fill('no');
    await dialog().getByRole('button', { name: 'Take it away' }).click();
    await dialog().getByText('This is not your password.').waitFor();
    await dialog().getByLabel('Your password').fill(boss.password);
    await dialog().getByRole('button', { name: 'Take it away' }).click();
    await page.getByRole('button', { name: 'Set up a second factor' }).waitFor();
  });
});

describe('limits', () => {
  it('make somebody who guesses wait, and count the seconds', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await page.route('**/api/v1/sessions', (route) =>
      route.fulfill({ status: 429, headers: { 'Content-Type': 'application/problem+json', 'Retry-After': '3' }, body: '{"type":"/problems/too-many-requests","title":"Too many requests","status":429,"request_id":"0123456789abcdef"}' }),
    );
    await page.goto(server.url);
    await typeIn(visitor, { name: 'ann', password: 'guessed' });
    await page.getByText(/Try again in \d sec/).waitFor();
    const button = page.getByRole('button', { name: 'Sign in' });
    expect(await button.isDisabled()).toBe(true);
    await visitor.examine('waiting');
    await until(() => button.isEnabled());
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.unroute('**/api/v1/sessions');
    await typeIn(visitor, person);
    await page.getByRole('button', { name: 'Account' }).waitFor();
  });
});

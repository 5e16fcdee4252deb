import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { content, launch, Visitor } from './browser';
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
const nav = () => visitor.page.getByRole('navigation', { name: 'Main' });

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
  await visitor.page.getByRole('button', { name: 'Account', exact: true }).click();
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
  it('has a name of one’s own, and tokens that work until they are revoked', async () => {
    const { page } = visitor;
    await enter('/account', 'Your account');
    await page.getByLabel('What you want to be called').fill('Ann of the mill');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    await page.getByRole('button', { name: 'Account', exact: true }).click();
    await page.getByRole('menu', { name: 'Account' }).getByText('Ann of the mill').waitFor();
    await page.keyboard.press('Escape');
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
    await page.getByRole('button', { name: 'Account', exact: true }).waitFor();
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
    await page.getByRole('button', { name: 'Account', exact: true }).waitFor();

    await signOut();
    await typeIn(visitor, boss);
    await page.getByRole('button', { name: 'Use a recovery code instead' }).click();
    await page.getByLabel('Recovery code').fill(codes[3]!);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('button', { name: 'Account', exact: true }).waitFor();
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

describe('settings', () => {
  it('demand a second factor: nothing else is reachable before it is set up', async () => {
    const { page } = visitor;
    await enter('/settings', 'Settings');
    await visitor.examine('settings');
    await visitor.fits('settings');
    const demand = page.getByLabel('Users must have one');
    await demand.check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The settings hold from now on.').waitFor();
    await page.reload();
    await demand.waitFor();
    expect(await demand.isChecked()).toBe(true);

    await visitor.context.clearCookies();
    await page.evaluate(() => localStorage.clear());
    visitor.expectFailures = true;
    await page.goto(server.url);
    await typeIn(visitor, other);
    await page.getByRole('heading', { name: 'Set up a second factor first' }).waitFor();
    await visitor.examine('a factor that is demanded');
    await visitor.fits('a factor that is demanded');
    expect(await nav().count()).toBe(0);
    await page.goto(`${server.url}/files`);
    await page.getByRole('heading', { name: 'Set up a second factor first' }).waitFor();
    await confirmFactor();
    await page.getByLabel('I have kept them').check();
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    await nav().getByRole('link', { name: 'Groups' }).waitFor();

    // A user has no pages for people and settings.
    expect(await nav().getByRole('link', { name: 'People' }).count()).toBe(0);
    expect(await nav().getByRole('link', { name: 'Settings' }).count()).toBe(0);
    await page.goto(`${server.url}/people`);
    await page.getByRole('heading', { name: 'There is no such page' }).waitFor();

    // The admin takes it back, and the factor from the one who lost his phone.
    await visitor.context.clearCookies();
    await page.evaluate(() => localStorage.clear());
    await enter('/settings', 'Settings');
    await demand.uncheck();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The settings hold from now on.').waitFor();
    await nav().getByRole('link', { name: 'People' }).click();
    await page.getByRole('link', { name: other.name, exact: true }).click();
    await page.getByRole('button', { name: 'Take the second factor away' }).click();
    await dialog().getByRole('button', { name: 'Take it away' }).click();
    await page.getByText('The second factor is taken away.').waitFor();
  });

  it('let strangers make accounts, or not', async () => {
    const { page } = visitor;
    const stranger = await Visitor.open(browser, server);
    await stranger.page.goto(server.url);
    await stranger.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await stranger.page.getByRole('link', { name: 'Make an account' }).count()).toBe(0);

    await enter('/settings', 'Settings');
    await page.getByRole('radio', { name: /^Everybody who reaches/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('The settings hold from now on.').waitFor();
    await stranger.page.reload();
    await stranger.page.getByRole('link', { name: 'Make an account' }).click();
    await stranger.page.getByRole('heading', { name: 'Make an account' }).waitFor();
    await stranger.examine('making an account');
    await stranger.fits('making an account');
    await stranger.page.getByLabel('Your name').fill('ida');
    await stranger.page.getByLabel('Password', { exact: true }).fill('a harp that nobody has tuned');
    await stranger.page.getByLabel('Password, once more').fill('a harp that nobody has tuned');

    // It is closed while the form stands open.
    await page.getByRole('radio', { name: /^Administrators make them/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await until(async () => !((await (await fetch(`${server.url}/api/v1/setup`)).json()) as { registration_open: boolean }).registration_open);
    stranger.expectFailures = true;
    await stranger.page.getByRole('button', { name: 'Make the account' }).click();
    await stranger.page.getByText('lets nobody make an account').waitFor();
    await page.getByRole('radio', { name: /^Everybody who reaches/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await until(async () => ((await (await fetch(`${server.url}/api/v1/setup`)).json()) as { registration_open: boolean }).registration_open);
    await stranger.page.getByRole('button', { name: 'Make the account' }).click();
    await stranger.page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    await stranger.leave();
    await page.getByRole('radio', { name: /^Administrators make them/ }).check();
    await page.getByRole('button', { name: 'Save' }).click();
    await until(async () => !((await (await fetch(`${server.url}/api/v1/setup`)).json()) as { registration_open: boolean }).registration_open);
  });

  it('have webhooks, whose secret is shown once', async () => {
    const { page } = visitor;
    await enter('/settings', 'Settings');
    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'New webhook' }).click();
    await dialog().getByLabel('Where it is sent to').fill('http://hooks.example.org/');
    await dialog().getByRole('button', { name: 'New webhook' }).click();
    await dialog().locator('.field-error, [role="alert"]').first().waitFor();
    await dialog().getByLabel('Where it is sent to').fill('https://hooks.example.org/stonevault');
    await dialog().getByLabel('A download was refused').uncheck();
    await dialog().getByRole('button', { name: 'New webhook' }).click();
    expect(await page.getByTestId('once').inputValue()).toMatch(/^whsec_/);
    await dialog().getByRole('button', { name: 'Done' }).click();
    await page.getByText('https://hooks.example.org/stonevault').waitFor();
    await page.getByText('What was sent').click();
    await page.getByText('Nothing yet.').waitFor();
    await visitor.examine('a webhook');
    await visitor.fits('a webhook');
    await page.getByRole('button', { name: 'Actions for https://hooks.example.org/stonevault' }).click();
    await page.getByRole('menuitem', { name: 'Switch off' }).click();
    await page.getByText('switched off', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Actions for https://hooks.example.org/stonevault' }).click();
    await page.getByRole('menuitem', { name: 'Delete' }).click();
    await dialog().getByRole('button', { name: 'Delete' }).click();
    await page.getByText('No webhooks.').waitFor();
  });
});

describe('people', () => {
  it('get an account by a link that is used once, another role, and are signed out when they are switched off', async () => {
    const { page } = visitor;
    await enter('/people', 'People');
    await page.getByRole('link', { name: other.name, exact: true }).waitFor();
    await visitor.examine('people');
    await visitor.fits('people');
    await page.getByRole('button', { name: 'New account' }).click();
    await dialog().getByLabel('Name', { exact: true }).fill('gil');
    await dialog().getByRole('button', { name: 'New account' }).click();
    const link = new URL(await page.getByTestId('once').inputValue());
    expect(link.pathname).toBe('/reset');
    expect(link.hash).toMatch(/^#svl_/);
    await visitor.examine('a one-time link');
    await dialog().getByRole('button', { name: 'Done' }).click();

    const gil = await Visitor.open(browser, server);
    gil.expectFailures = true;
    const asked: string[] = [];
    gil.context.on('request', (request) => asked.push(request.url()));
    await gil.page.goto(link.href);
    await gil.page.getByText('For the account “gil”').waitFor();
    expect(gil.page.url()).toBe(`${server.url}/reset`);
    await gil.examine('a link for a password');
    await gil.fits('a link for a password');
    for (const weak of ['short', 'passwordpassword']) {
      await gil.page.getByLabel('Password', { exact: true }).fill(weak);
      await gil.page.getByLabel('Password, once more').fill(weak);
      await gil.page.getByRole('button', { name: 'Set the password' }).click();
      await gil.page.locator('.field-error').waitFor();
    }
    const secret = 'a lighthouse made of old books';
    await gil.page.getByLabel('Password', { exact: true }).fill(secret);
    await gil.page.getByLabel('Password, once more').fill(secret);
    await gil.page.getByRole('button', { name: 'Set the password' }).click();
    await gil.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await gil.page.getByLabel('Name', { exact: true }).inputValue()).toBe('gil');
    await typeIn(gil, { name: 'gil', password: secret });
    await gil.page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    expect(asked.filter((url) => url.includes(link.hash.slice(1)))).toEqual([]);

    // It works once.
    const late = await Visitor.open(browser, server);
    late.expectFailures = true;
    await late.page.goto(link.href);
    await late.page.getByRole('heading', { name: 'This link opens nothing any more' }).waitFor();
    await late.examine('a link that is over');
    await late.leave();

    // Another role, in the panel.
    await page.getByRole('link', { name: 'gil', exact: true }).click();
    const panel = page.getByRole('complementary', { name: 'Person' });
    await panel.getByRole('list', { name: 'Sessions' }).getByRole('listitem').first().waitFor();
    await visitor.examine('a person');
    await visitor.fits('a person');
    await panel.getByRole('button', { name: 'Change the role' }).click();
    await dialog().getByRole('radio', { name: /^Manager/ }).check();
    await dialog().getByRole('button', { name: 'Save' }).click();
    await page.getByText('gil is Manager now.').waitFor();
    await gil.page.reload();
    await typeIn(gil, { name: 'gil', password: secret });
    await gil.page.getByRole('link', { name: 'People' }).waitFor();

    await panel.getByRole('button', { name: 'Switch off' }).click();
    await dialog().getByRole('button', { name: 'Switch off' }).click();
    await page.getByText('gil is switched off.').waitFor();
    await gil.page.getByRole('link', { name: 'Groups' }).click();
    await gil.page.getByText('Your session has ended').waitFor();
    await typeIn(gil, { name: 'gil', password: secret });
    await gil.page.getByText('or the account is switched off').waitFor();
    await gil.leave();

    // What is left is handed over, and the account erased.
    await panel.getByRole('button', { name: 'Hand the files over' }).click();
    await dialog().getByLabel('To whom').fill(other.name.toUpperCase());
    await dialog().getByRole('button', { name: 'Go on' }).click();
    await dialog().getByRole('button', { name: 'Hand the files over' }).click();
    await page.getByText('gil had no files.').waitFor();
    await panel.getByRole('button', { name: 'Erase' }).click();
    await dialog().getByRole('button', { name: 'Erase for good' }).click();
    await dialog().getByText('What you typed is not what is asked for').waitFor();
    await dialog().getByLabel('To be sure, type the account’s name').fill('gil');
    await dialog().getByRole('button', { name: 'Erase for good' }).click();
    await page.getByText('gil is erased.').waitFor();
    await until(async () => (await page.getByRole('link', { name: 'gil', exact: true }).count()) === 0);
  });

  it('are searched, filtered and sorted by the keyboard too, and the last admin stays one', async () => {
    const { page } = visitor;
    await enter('/people?sort=-name', 'People');
    const names = () => page.locator('[data-person]').allTextContents();
    await until(async () => (await names()).length >= 3);
    expect(await names()).toEqual([...(await names())].sort().reverse());
    await page.locator('[data-person]').first().focus();
    await page.keyboard.press('End');
    await page.keyboard.press('Enter');
    await page.getByRole('complementary', { name: 'Person' }).getByRole('heading', { name: person.name }).waitFor();
    visitor.expectFailures = true;
    await page.getByRole('button', { name: 'Change the role' }).click();
    await dialog().getByRole('radio', { name: /^User/ }).check();
    await dialog().getByText('This is your own role').waitFor();
    await dialog().getByRole('button', { name: 'Save' }).click();
    await dialog().getByText('This is the last administrator').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await until(async () => (await page.evaluate(() => document.activeElement?.textContent)) === person.name);
    await page.getByLabel('Role').selectOption('manager');
    await until(async () => (await names()).join() === boss.name);
    await page.getByLabel('Search people').fill('nobody is called this');
    await page.getByRole('heading', { name: 'Nobody fits' }).waitFor();
    await visitor.examine('nobody');
    await page.getByRole('button', { name: 'Clear the filters' }).first().click();
    await until(async () => (await names()).length >= 3);
  });
});

describe('groups', () => {
  it('are made by managers, have members and limits, take invitations, and can be left', async () => {
    const { page } = visitor;
    await enter('/groups', 'Groups', boss);
    await page.getByRole('heading', { name: 'No groups yet' }).waitFor();
    await visitor.examine('no groups');
    await page.getByRole('button', { name: 'New group' }).click();
    await dialog().getByLabel('Name').fill('Choir');
    await dialog().getByRole('button', { name: 'New group' }).click();
    const panel = page.getByRole('complementary', { name: 'Group' });
    await panel.getByText('Manager, not a member').waitFor();
    visitor.expectFailures = true;
    await panel.getByRole('button', { name: 'Add somebody' }).click();
    await dialog().getByLabel('Name').fill('nobody');
    await dialog().getByRole('button', { name: 'Add somebody' }).click();
    await dialog().getByRole('alert').waitFor();
    await dialog().getByLabel('Name').fill(other.name);
    await dialog().getByRole('button', { name: 'Add somebody' }).click();
    await page.getByText(`${other.name} is in the group now.`).waitFor();
    await panel.getByRole('button', { name: 'Change the limits' }).click();
    await dialog().getByLabel('Size of all files').fill('many');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await dialog().getByText('Type a number such as 5 or 1.5').waitFor();
    await dialog().getByLabel('Size of all files').fill('1.5');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await panel.getByText('of 1.5 GB').waitFor();
    await visitor.examine('a group');
    await visitor.fits('a group');

    // Its manager sees the member, and may limit and sign out, but not change the account.
    await panel.getByRole('link', { name: other.name }).click();
    const someone = page.getByRole('complementary', { name: 'Person' });
    await someone.getByRole('button', { name: 'Change the limits' }).waitFor();
    expect(await someone.getByRole('button', { name: /role|Erase|Switch/ }).count()).toBe(0);
    await visitor.examine('a person, to a manager');

    // And what the member does, but not what the member's files are called.
    await server.put('/diary.txt', 'dear diary', 'text/plain', other);
    await someone.getByRole('link', { name: 'Activity of this person' }).click();
    await page.getByText('What you and the people of your groups did').waitFor();
    await page.getByRole('button', { name: `Only of ${other.name}` }).waitFor();
    expect(await page.getByText('You made the group').count()).toBe(0);
    const stored = page.getByRole('list', { name: 'Events' }).getByRole('listitem').filter({ hasText: `${other.name} stored a file (name not shown)` }).first();
    await stored.getByRole('link').click();
    const event = page.getByRole('complementary', { name: 'Event' });
    await event.getByText('Not shown to you').waitFor();
    await event.getByText('Proven: this event is in the log').waitFor();
    expect(await page.getByText('diary').count()).toBe(0);
    await visitor.examine('an event of a member, to a manager');
    await page.getByRole('button', { name: `Only of ${other.name}` }).click();
    await page.getByText('You made the group').waitFor();
    await page.goto(`${server.url}/people`);
    await page.getByRole('button', { name: 'Invitations' }).waitFor();

    // Somebody comes by an invitation into the group.
    await page.getByRole('button', { name: 'Invitations' }).click();
    await dialog().getByRole('button', { name: 'Make a link' }).click();
    const link = await page.getByTestId('once').inputValue();
    await dialog().getByRole('button', { name: 'Done' }).click();
    const hal = await Visitor.open(browser, server);
    hal.expectFailures = true;
    await hal.page.goto(link);
    await hal.page.getByText('You are invited into the group “Choir”').waitFor();
    expect(hal.page.url()).toBe(`${server.url}/join`);
    await hal.examine('an invitation');
    await hal.fits('an invitation');
    await hal.page.getByLabel('Your name').fill(other.name);
    await hal.page.getByLabel('Password', { exact: true }).fill('a wheelbarrow full of thunder');
    await hal.page.getByLabel('Password, once more').fill('a wheelbarrow full of thunder');
    await hal.page.getByRole('button', { name: 'Make the account' }).click();
    await hal.page.locator('.field-error, [role="alert"]').first().waitFor(); // the name is taken
    await hal.page.getByLabel('Your name').fill('hal');
    await hal.page.getByRole('button', { name: 'Make the account' }).click();
    await hal.page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    await hal.page.goto(`${server.url}/groups`);
    await hal.page.getByRole('link', { name: 'Choir' }).click();
    const his = hal.page.getByRole('complementary', { name: 'Group' });
    await his.getByText(other.name).waitFor();
    expect(await his.getByRole('button', { name: /Rename|Add|Delete|limits/ }).count()).toBe(0);
    await his.getByRole('button', { name: 'Leave' }).click();
    await hal.page.getByRole('dialog').getByRole('button', { name: 'Leave' }).click();
    await hal.page.getByRole('heading', { name: 'No groups yet' }).waitFor();
    await hal.leave();

    await page.goto(`${server.url}/groups`);
    await page.getByRole('link', { name: 'Choir' }).click();
    await panel.getByRole('button', { name: 'Delete' }).click();
    await dialog().getByLabel('To be sure, type the group’s name').fill('Choir');
    await dialog().getByRole('button', { name: 'Delete the group' }).click();
    await page.getByRole('heading', { name: 'No groups yet' }).waitFor();
  });
});

describe('limits', () => {
  it('refuse an upload in words, and show what is used', async () => {
    const { page } = visitor;
    await enter('/people', 'People');
    await page.getByRole('link', { name: other.name, exact: true }).click();
    const panel = page.getByRole('complementary', { name: 'Person' });
    await panel.getByRole('button', { name: 'Change the limits' }).click();
    await dialog().getByRole('radio', { name: 'Limits of its own' }).check();
    await dialog().getByLabel('Size of all files').fill('0.01');
    await dialog().getByLabel('Unit').selectOption('MB');
    await dialog().getByRole('button', { name: 'Save' }).click();
    await panel.getByText('0 bytes of 10 kB').waitFor();

    const ben = await Visitor.open(browser, server);
    ben.expectFailures = true;
    await ben.signIn('/', other);
    await ben.choose({ name: 'small.bin', mimeType: 'application/octet-stream', buffer: content(9_500) });
    await ben.row('small.bin').waitFor();
    await ben.choose({ name: 'large.bin', mimeType: 'application/octet-stream', buffer: content(30_000) });
    const row = ben.transfer('/large.bin');
    await row.getByText('ask an administrator for more').waitFor();
    await ben.examine('a full quota');
    expect(await ben.row('large.bin').count()).toBe(0);
    await ben.page.goto(`${server.url}/account`);
    await ben.page.getByText('9.5 kB of 10 kB').waitFor();
    await ben.page.getByText('Nearly full.').waitFor();
    await ben.leave();
  });

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
    await page.getByRole('button', { name: 'Account', exact: true }).waitFor();
  });
});

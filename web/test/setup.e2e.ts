import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launch, Visitor } from './browser';
import { person, Server, until } from './server';

let browser: Browser;
let server: Server;

beforeAll(async () => {
  server = await new Server().start();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.end();
});

it('makes the first account with the one-time code, and shows the recovery sheet until it is confirmed', async () => {
  const visitor = await Visitor.open(browser, server);
  const { page } = visitor;
  await page.goto(`${server.url}/files/anything`);
  await page.getByRole('heading', { name: 'Set up this vault' }).waitFor();
  await visitor.examine('first run');

  // A wrong code, and passwords that differ.
  visitor.expectFailures = true;
  await page.getByLabel('One-time code').fill('0000-0000');
  await page.getByLabel('Your name').fill(person.name);
  await page.getByLabel('Password', { exact: true }).fill(person.password);
  await page.getByLabel('Password, once more').fill('something else');
  await page.getByRole('button', { name: 'Make the vault' }).click();
  await page.getByText('The two passwords differ').waitFor();
  await page.getByLabel('Password, once more').fill(person.password);
  await page.getByRole('button', { name: 'Make the vault' }).click();
  const refused = page.getByRole('alert');
  await refused.waitFor();
  expect(await refused.textContent()).toMatch(/Request id: ?[0-9a-f]{16}/);
  visitor.expectFailures = false;

  visitor.expectFailures = true;
  await page.getByLabel('One-time code').fill(server.setupCode());
  await page.getByLabel('Password', { exact: true }).fill('short');
  await page.getByLabel('Password, once more').fill('short');
  await page.getByRole('button', { name: 'Make the vault' }).click();
  await page.getByText(/^Password is shorter than 15 characters; six random words/).waitFor();
  visitor.expectFailures = false;
  await page.getByLabel('Password', { exact: true }).fill(person.password);
  await page.getByLabel('Password, once more').fill(person.password);
  await page.getByRole('button', { name: 'Make the vault' }).click();
  await page.getByRole('heading', { name: 'Keep this recovery sheet' }).waitFor();
  const secret = (await page.getByTestId('secret').textContent())!.trim();
  expect(secret).toMatch(/^SVSEC1-([0-9A-Z]{1,5}-)+[0-9A-Z]{1,5}$/);
  await page.getByText(((await (await fetch(`${server.url}/api/v1/vault`)).json()) as { root_fingerprint_spoken: string }).root_fingerprint_spoken).waitFor();
  await visitor.examine('recovery sheet');

  // On paper there is the sheet and nothing else.
  await page.emulateMedia({ media: 'print' });
  expect(await page.getByTestId('secret').isVisible()).toBe(true);
  expect(await page.getByRole('button', { name: 'Print the sheet' }).isVisible()).toBe(false);
  expect(await page.locator('header').isVisible()).toBe(false);
  await page.emulateMedia({ media: 'screen' });

  // No way past it: other pages lead back.
  await page.getByRole('link', { name: 'Stonevault, to your files' }).click();
  await page.getByRole('heading', { name: 'Keep this recovery sheet' }).waitFor();
  expect(await state(server)).toEqual({ needed: false, recovery_confirmed: false, registration_open: false });

  await page.getByLabel('The last 11 letters').fill('WRONG-DIGIT');
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await page.getByText('These are not its last 11').waitFor();
  await page.getByLabel('The last 11 letters').fill(secret.replaceAll('-', '').slice(-11).toLowerCase());
  await page.getByRole('button', { name: 'I have kept it' }).click();
  await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
  expect(await state(server)).toEqual({ needed: false, recovery_confirmed: true, registration_open: false });
  expect(await page.evaluate((text) => JSON.stringify({ ...localStorage, ...sessionStorage }).includes(text), secret.slice(0, 17))).toBe(false);
  await visitor.leave();
});

it('warns who leaves the recovery sheet, reminds of it, and lets an admin confirm it later, from paper', async () => {
  const later = await new Server().start();
  try {
    const visitor = await Visitor.open(browser, later);
    const { page } = visitor;
    await page.goto(later.url);
    await page.getByLabel('One-time code').fill(later.setupCode());
    await page.getByLabel('Your name').fill(person.name);
    await page.getByLabel('Password', { exact: true }).fill(person.password);
    await page.getByLabel('Password, once more').fill(person.password);
    await page.getByRole('button', { name: 'Make the vault' }).click();
    const secret = (await page.getByTestId('secret').textContent())!.trim();
    await visitor.fits('recovery sheet');
    await until(() => page.evaluate(() => localStorage.getItem('stonevault.access-until') !== null)); // signed in behind the sheet
    const asked = new Promise<string>((resolve) => page.once('dialog', (dialog) => void dialog.accept().then(() => resolve(dialog.type()))));
    await page.reload();
    expect(await asked).toBe('beforeunload');

    // The server has given the secret out once, and no page has it any more.
    await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    expect(await page.content()).not.toContain(secret.slice(0, 17));
    await visitor.examine('an empty vault');
    await visitor.fits('an empty vault');
    await page.getByText('The recovery sheet has not been confirmed').click();
    await page.getByRole('heading', { name: 'Keys and recovery' }).waitFor();
    await visitor.examine('keys and recovery');
    await visitor.fits('keys and recovery');
    visitor.expectFailures = true;
    const field = page.getByLabel('Recovery secret, as on the sheet');
    await field.fill('SVSEC1-NOT-THE-SECRET');
    await page.getByRole('button', { name: 'Confirm that it is kept' }).click();
    await page.getByRole('alert').waitFor();
    visitor.expectFailures = false;
    expect(await state(later)).toMatchObject({ recovery_confirmed: false });
    await field.fill(secret.toLowerCase().replaceAll('-', ' '));
    await page.getByRole('button', { name: 'Confirm that it is kept' }).click();
    await page.getByText('Somebody has shown that the recovery sheet is kept').waitFor();
    expect(await state(later)).toMatchObject({ recovery_confirmed: true });
    await visitor.examine('a confirmed sheet');
    await page.goto(`${later.url}/files`);
    await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
    expect(await page.getByText('The recovery sheet has not been confirmed').count()).toBe(0);
    await visitor.leave();
  } finally {
    await later.end();
  }
});

async function state(of: Server): Promise<unknown> {
  return (await fetch(`${of.url}/api/v1/setup`)).json();
}

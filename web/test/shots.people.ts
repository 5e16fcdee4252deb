import type { Visitor } from './browser';
import { other, type Server } from './server';
import { totp } from './totp';

type Shoot = (name: string, fullPage?: boolean) => Promise<void>;

/** Pictures of the pages of people, groups, settings and one's account, as an admin who is signed in. */
export async function shootPeople(visitor: Visitor, server: Server, shoot: Shoot): Promise<{ invitation: string; account: string }> {
  const { page } = visitor;
  const dialog = page.getByRole('dialog').last();
  const close = () => page.keyboard.press('Escape');
  const manager = { name: 'clara', password: 'four wooden spoons in a tin cup' };
  server.makeAccount(manager, 'manager');
  server.makeAccount({ name: 'dov.of.the.northern.boundary.office', password: 'seventeen bees in an old hat' }, 'user');

  await page.goto(`${server.url}/groups`);
  await page.getByRole('heading', { name: 'No groups yet' }).waitFor();
  await shoot('groups-empty');
  for (const name of ['Land registry', 'Choir']) {
    await page.getByRole('button', { name: 'New group' }).click();
    await dialog.getByLabel('Name').fill(name);
    if (name === 'Choir') await shoot('group-new');
    await dialog.getByRole('button', { name: 'New group' }).click();
    const panel = page.getByRole('complementary', { name: 'Group' });
    await panel.getByRole('heading', { name }).waitFor();
    for (const member of [other.name, manager.name]) {
      await panel.getByRole('button', { name: 'Add somebody' }).click();
      await dialog.getByLabel('Name').fill(member);
      await dialog.getByRole('button', { name: 'Add somebody' }).click();
      await panel.getByText(member).waitFor();
    }
    await panel.getByRole('button', { name: 'Change the limits' }).click();
    await dialog.getByLabel('Size of all files').fill('1');
    if (name === 'Choir') await shoot('limits');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await panel.getByText('of 1 GB').waitFor();
    if (name === 'Choir') await shoot('group');
    await page.getByRole('button', { name: 'Actions for clara' }).click();
    if (name === 'Choir') await shoot('group-menu');
    await close();
    await page.getByRole('button', { name: 'Close the group' }).click();
  }
  await shoot('groups');

  await page.goto(`${server.url}/people`);
  await page.getByRole('link', { name: 'clara', exact: true }).waitFor();
  await page.getByRole('button', { name: 'New account' }).click();
  await dialog.getByLabel('Name', { exact: true }).fill('eve');
  await shoot('account-new');
  await dialog.getByRole('button', { name: 'New account' }).click();
  const link = await page.getByTestId('once').inputValue();
  await shoot('account-new-link');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('link', { name: 'dov.of.the.northern.boundary.office' }).click();
  const panel = page.getByRole('complementary', { name: 'Person' });
  await panel.getByRole('button', { name: 'Switch off' }).click();
  await shoot('switch-off');
  await dialog.getByRole('button', { name: 'Switch off' }).click();
  await panel.getByRole('button', { name: 'Hand the files over' }).click();
  await dialog.getByLabel('To whom').fill(other.name);
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await dialog.getByText('It cannot be given back').waitFor();
  await shoot('hand-over');
  await close();
  await panel.getByRole('button', { name: 'Erase' }).click();
  await shoot('erase');
  await close();
  await shoot('person-off');
  await page.getByRole('button', { name: 'Close the person' }).click();
  await shoot('people');
  await page.getByRole('link', { name: other.name, exact: true }).click();
  await panel.getByRole('list', { name: 'Sessions' }).waitFor();
  await shoot('person');
  await panel.getByRole('heading', { name: 'Space' }).evaluate((heading) => heading.scrollIntoView());
  await shoot('person-sessions');
  await panel.getByRole('button', { name: 'Change the role' }).click();
  await shoot('role');
  await close();
  await panel.getByRole('button', { name: 'Change the limits' }).click();
  await dialog.getByRole('radio', { name: 'Limits of its own' }).check();
  await shoot('limits-person');
  await close();
  await page.getByRole('button', { name: 'Close the person' }).click();
  await page.getByRole('button', { name: 'Invitations' }).click();
  await dialog.getByRole('button', { name: 'Make a link' }).click();
  const invitation = await page.getByTestId('once').inputValue();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Invitations' }).click();
  await dialog.getByText('by ann').waitFor();
  await shoot('invitations');
  await close();
  await page.goto(`${server.url}/people?q=nobody`);
  await page.getByRole('heading', { name: 'Nobody fits' }).waitFor();
  await shoot('people-empty');

  await page.goto(`${server.url}/settings`);
  await page.getByText('No webhooks.').waitFor();
  await page.getByRole('button', { name: 'New webhook' }).click();
  await dialog.getByLabel('Where it is sent to').fill('https://alerts.example.org/hooks/stonevault');
  await shoot('webhook');
  await dialog.getByRole('button', { name: 'New webhook' }).click();
  await page.getByTestId('once').waitFor();
  await shoot('webhook-secret');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByText('What was sent').click();
  await page.getByText('Nothing yet.').waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await shoot('settings', true);

  await page.goto(`${server.url}/account`);
  await page.getByText('No API tokens.').waitFor();
  await page.getByRole('button', { name: 'Make a token' }).click();
  await dialog.getByLabel('What it is for').fill('backup of the studio');
  await shoot('token');
  await dialog.getByRole('button', { name: 'Make a token' }).click();
  await page.getByTestId('once').waitFor();
  await shoot('token-once');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByRole('button', { name: 'Change the password' }).click();
  await page.evaluate(() => scrollTo(0, 0));
  await shoot('own-account', true);
  await page.getByRole('button', { name: 'Cancel' }).click();

  return { invitation, account: link };
}

/** What people see who come by a link, and those with a second factor: in a window of their own, which looks alike. */
export async function shootWaysIn(visitor: Visitor, server: Server, links: { invitation: string; account: string }, shoot: Shoot): Promise<void> {
  const { page } = visitor;
  const secret = 'a lighthouse made of old books';
  await page.goto(links.account);
  await page.getByText('For the account “eve”').waitFor();
  await shoot('reset');
  await page.getByLabel('Password', { exact: true }).fill('passwordpassword');
  await page.getByLabel('Password, once more').fill('passwordpassword');
  await page.getByRole('button', { name: 'Set the password' }).click();
  await page.locator('.field-error').waitFor();
  await shoot('reset-refused');
  await page.goto(`${server.url}/join`);
  await page.getByRole('heading', { name: 'The link is not complete' }).waitFor();
  await shoot('link-none');
  await page.goto(links.invitation);
  await page.getByRole('heading', { name: 'Make your account' }).waitFor();
  await shoot('join');
  await page.getByLabel('Your name').fill('hal');
  await page.getByLabel('Password', { exact: true }).fill(secret);
  await page.getByLabel('Password, once more').fill(secret);
  await page.getByRole('button', { name: 'Make the account' }).click();
  await page.getByRole('heading', { name: 'Nothing here yet' }).waitFor();
  await page.goto(`${server.url}/sign-in`);
  await page.goto(`${links.invitation.replace(/#.*/, '')}#svl_used`);
  await page.getByRole('heading', { name: 'This link opens nothing any more' }).waitFor();
  await shoot('link-over');

  await page.goto(`${server.url}/account`);
  await page.getByRole('button', { name: 'Set up a second factor' }).click();
  await page.getByRole('img', { name: 'QR code for the authenticator app' }).waitFor();
  const seed = (await page.getByTestId('factor-secret').textContent())!;
  await page.getByRole('img', { name: 'QR code for the authenticator app' }).evaluate((code) => code.scrollIntoView({ block: 'center' }));
  await shoot('factor');
  await page.getByLabel('Code from the app').fill(totp(seed));
  await page.getByRole('button', { name: 'Confirm the code' }).click();
  await page.getByRole('heading', { name: 'Keep these recovery codes' }).waitFor();
  await page.getByRole('heading', { name: 'Second factor' }).evaluate((heading) => heading.scrollIntoView({ block: 'center' }));
  await shoot('recovery-codes');
  await page.getByLabel('I have kept them').check();
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('10 recovery codes are left').waitFor();
  await shoot('factor-set-up');
  await page.getByRole('button', { name: 'Account', exact: true }).click();
  await page.getByRole('menuitem', { name: 'Sign out' }).click();
  await page.getByLabel('Name', { exact: true }).fill('hal');
  await page.getByLabel('Password', { exact: true }).fill(secret);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Code from the app').fill('123456');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('This is not the code').waitFor();
  await shoot('second-step');
  await page.getByRole('button', { name: 'Use a recovery code instead' }).click();
  await shoot('second-step-recovery');
  await page.route('**/api/v1/sessions', (route) =>
    route.fulfill({ status: 429, headers: { 'Content-Type': 'application/problem+json', 'Retry-After': '42' }, body: '{"type":"/problems/too-many-requests","title":"Too many requests","status":429,"request_id":"0123456789abcdef"}' }),
  );
  await page.getByLabel('Recovery code').fill('none');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText(/Try again in/).waitFor();
  await shoot('waiting');
  await page.unroute('**/api/v1/sessions');

  await page.route('**/api/v1/setup', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as object), registration_open: true } });
  });
  await page.goto(server.url);
  await page.getByRole('link', { name: 'Make an account' }).waitFor();
  await shoot('sign-in-open');
  await page.getByRole('link', { name: 'Make an account' }).click();
  await page.getByRole('heading', { name: 'Make an account' }).waitFor();
  await shoot('register');
  await page.unroute('**/api/v1/setup');
  await page.route('**/api/v1/sessions', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...((await response.json()) as object), enrol: true } });
  });
  await page.goto(server.url);
  await page.getByLabel('Name', { exact: true }).fill(other.name);
  await page.getByLabel('Password', { exact: true }).fill(other.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('img', { name: 'QR code for the authenticator app' }).waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await shoot('enrol', true);
  await page.unroute('**/api/v1/sessions');
}

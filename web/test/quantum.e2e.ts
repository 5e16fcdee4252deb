import type { Browser, Locator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { launch, Visitor } from './browser';
import { other, person, Server, until } from './server';

let browser: Browser;
let server: Server;
let visitor: Visitor;

beforeAll(async () => {
  server = new Server();
  server.makeAdmin();
  server.makeAccount(other, 'user');
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

async function enter(path: string, who = person): Promise<void> {
  await visitor.signIn(path, who);
  await visitor.page.getByRole('heading', { name: 'Quantum keys', level: 1 }).waitFor();
}

const slider = (name: string): Locator => visitor.page.getByRole('slider', { name, exact: true });
const stage = (name: string): Locator => visitor.page.locator(`[data-stage="${name}"] .left`);
const outcome = (): Locator => visitor.page.getByTestId('outcome');

/** Presses Run and waits for what comes of it. */
async function run(): Promise<void> {
  const answered = visitor.page.waitForResponse((response) => response.url().endsWith('/quantum/laboratory'));
  await visitor.page.getByRole('button', { name: 'Run', exact: true }).click();
  expect((await answered).status()).toBe(200);
  await visitor.page.getByRole('button', { name: 'Run', exact: true }).waitFor();
  await outcome().waitFor();
}

const wholeOf = async (of: Locator): Promise<number> => Number((await of.textContent())!.replaceAll(',', ''));

/** The word is there for the eye: within the window, with nothing before it, wherever one has scrolled to. */
async function simulatedInView(what: string): Promise<void> {
  const { page } = visitor;
  const before = page.viewportSize()!;
  for (const width of [320, 390, 1280]) {
    await page.setViewportSize({ width, height: 700 });
    for (const to of [0, 0.5, 1]) {
      await page.evaluate((share) => scrollTo({ top: share * (document.documentElement.scrollHeight - innerHeight), behavior: 'instant' }), to);
      const found = await page.evaluate(() => {
        const word = [...document.querySelectorAll('strong')].find((element) => element.textContent === 'Simulated')!;
        const at = word.getBoundingClientRect();
        if (at.top < 0 || at.bottom > innerHeight) return `from ${at.top} to ${at.bottom}`;
        const before = document.elementFromPoint(at.left + at.width / 2, at.top + at.height / 2);
        return before === word ? 'in view' : `behind ${before?.outerHTML.slice(0, 200)}`;
      });
      expect(found, `“Simulated” on ${what} at ${width} pixels, scrolled by ${to}`).toBe('in view');
    }
  }
  await page.setViewportSize(before);
}

async function sound(what: string): Promise<void> {
  await visitor.examine(what);
  await visitor.fits(what);
  await simulatedInView(what);
}

describe('the laboratory', () => {
  it('makes secret bits where nobody listens', async () => {
    const { page } = visitor;
    await enter('/quantum');
    await page.getByTestId('rate-here').waitFor();
    await sound('an empty laboratory');
    await run();
    expect(await outcome().textContent()).toMatch(/^[\d,]+ secret bits/);
    const left = await Promise.all(['pulses', 'detected', 'sifted', 'estimated', 'corrected', 'secret', 'keys'].map((name) => wholeOf(stage(name))));
    expect(left).toEqual(left.toSorted((a, b) => b - a));
    expect(left.at(-1)).toBeGreaterThan(100_000);
    expect(Number.parseFloat((await page.getByTestId('qber').textContent())!)).toBeLessThan(4);
    await page.getByText('Below the limit.').waitFor();
    // Where the run stands among the curves, and where one would expect it.
    expect(await page.getByTestId('rate-mark').textContent()).toMatch(/^Expected at 10 km: [\d,]+ secret bits a second · this run: [\d,]+$/);
    const line = (await page.getByTestId('rate-here').locator('line').boundingBox())!;
    const mark = (await page.getByTestId('rate-run').boundingBox())!;
    expect(Math.abs(mark.x + mark.width / 2 - line.x)).toBeLessThan(2);
    await sound('a laboratory with a result');
    await page.getByText('The same as a table').click();
    await page.getByText('Where the numbers are from').click();
    expect(await page.getByRole('table', { name: 'Secret bits a second' }).getByRole('row').count()).toBeGreaterThan(10);
    await page.getByRole('checkbox', { name: 'Only detected pulses' }).uncheck();
    await page.getByRole('button', { name: 'Later pulses' }).click();
    await page.getByText('26 to 50 of 300').waitFor();
    await sound('a laboratory with all tables');
  });

  it.each(['Single photons', 'Weak pulses with decoys'])('finds Eve, who measures all pulses: %s', async (source) => {
    const { page } = visitor;
    await enter('/quantum');
    await page.getByLabel('Source').selectOption(source);
    await slider('Eve attacks').focus();
    await page.keyboard.press('End');
    expect(await page.getByLabel('Eve attacks, in %').inputValue()).toBe('100');
    await run();
    const qber = Number.parseFloat((await page.getByTestId('qber').textContent())!);
    expect(qber).toBeGreaterThan(23);
    expect(qber).toBeLessThan(27);
    expect(await outcome().textContent()).toMatch(/^Aborted: no secret bits.* of the compared bits differ\. From 11% on nothing can be secret/);
    expect(await wholeOf(stage('secret'))).toBe(0);
    expect(await stage('keys').count()).toBe(0);
    await page.getByText('Above the limit: nothing is output.').waitFor();
    expect(await page.getByTestId('rate-mark').textContent()).toContain('this run: nothing');
    expect(await page.getByRole('columnheader', { name: 'Eve' }).count()).toBe(1);
    await sound(`an aborted experiment with ${source}`);
  });

  it('is operated by the keyboard', async () => {
    const { page } = visitor;
    await enter('/quantum');
    await page.getByTestId('rate-here').waitFor();
    await slider('Distance').focus();
    const valueOf = (name: string) => slider(name).getAttribute('aria-valuetext');
    expect(await valueOf('Distance')).toBe('10 km');
    await page.keyboard.press('ArrowRight');
    expect(await valueOf('Distance')).toBe('11 km');
    await page.keyboard.press('PageUp');
    expect(Number.parseFloat((await valueOf('Distance'))!)).toBeGreaterThan(20);
    await page.keyboard.press('Home');
    expect(await page.getByLabel('Distance, in km').inputValue()).toBe('0');
    await page.getByTestId('rate-mark').getByText('Expected at 0 km').waitFor();
    await page.keyboard.press('End');
    await page.getByTestId('rate-mark').getByText('Expected at 250 km: nothing').waitFor();
    // What is typed moves the slider.
    await page.getByLabel('Distance, in km').fill('42.5');
    await page.getByTestId('rate-mark').getByText('Expected at 42.5 km').waitFor();
    await slider('Eve attacks').focus();
    for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowRight');
    expect(await valueOf('Eve attacks')).toBe('3%');
    await page.getByText('3% of the pulses, chosen by chance.').waitFor();
    await page.getByRole('checkbox', { name: 'Automatic number of pulses' }).uncheck();
    await slider('Pulses').focus();
    await page.keyboard.press('Home');
    expect(await valueOf('Pulses')).toBe('1,000 pulses');
    for (let i = 0; i < 10; i++) await page.keyboard.press('ArrowRight');
    expect(await valueOf('Pulses')).toBe('10,000 pulses');
    // So few are not enough for a key; the form is sent by Enter in any field.
    const answered = page.waitForResponse((response) => response.url().endsWith('/quantum/laboratory'));
    await page.getByLabel('Seed').press('Enter');
    expect((await (await answered).json()) as object).toMatchObject({ mode: 'simulated', pulses: 10_000, aborted: true });
    await outcome().getByText('Aborted: no secret bits').waitFor();
    await page.getByText('The controls have changed since').waitFor({ state: 'detached' });
    await page.getByLabel('Seed').fill('other');
    await page.getByText('The controls have changed since').waitFor();
  });

  it('shows beside a value what is wrong with it', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await enter('/quantum');
    const distance = page.getByLabel('Distance, in km');
    const send = () => page.getByRole('button', { name: 'Run', exact: true }).click();
    await distance.fill('far');
    await send();
    await page.getByText('Enter a number.').waitFor();
    expect(await distance.evaluate((field) => field === document.activeElement && field.getAttribute('aria-invalid'))).toBe('true');
    await distance.fill('600');
    await send();
    await page.getByText('It must be from 0 to 500.').waitFor();
    await visitor.examine('a value that is refused');
    await distance.fill('10');
    await page.getByRole('checkbox', { name: 'Automatic number of pulses' }).uncheck();
    await page.getByLabel('Pulses, as a number').fill('1e10');
    await send();
    await page.getByText('It must be fewer').waitFor();
    expect(await page.getByText('It must be from 0 to 500.').count()).toBe(0);
    await visitor.fits('a value that is refused');
  });

  it('offers what fits the source and the link, repeats what has a seed, and can be stopped', async () => {
    const { page } = visitor;
    await enter('/quantum');
    const attacks = () => page.getByLabel('How she attacks').getByRole('option').allTextContents();
    await page.getByRole('combobox', { name: 'Link' }).selectOption({ label: '50 km between towns' });
    expect(await page.getByLabel('Distance, in km').inputValue()).toBe('50');
    expect(await attacks()).toContain('Photon-number splitting');
    await page.getByLabel('How she attacks').selectOption('pns');
    await page.getByLabel('Source').selectOption('Single photons');
    expect(await attacks()).toEqual(['Intercept and resend', 'Breidbart basis']);
    expect(await page.getByLabel('How she attacks').inputValue()).toBe('intercept');

    await page.getByLabel('Seed').fill('twice');
    await run();
    const first = await page.locator('[data-stage]').allTextContents();
    await page.reload();
    await page.getByRole('combobox', { name: 'Link' }).selectOption({ label: '50 km between towns' });
    await page.getByLabel('Source').selectOption('Single photons');
    await page.getByLabel('Seed').fill('twice');
    await run();
    expect(await page.locator('[data-stage]').allTextContents()).toEqual(first);

    await page.route('**/quantum/laboratory', () => {}); // it never answers
    await page.getByLabel('Seed').fill('never');
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByText('It takes a second or two').waitFor();
    await visitor.examine('an experiment that runs');
    await page.getByRole('button', { name: 'Stop' }).click();
    await page.getByText('The controls have changed since').waitFor();
    await page.unroute('**/quantum/laboratory');
    await run();
  });

  it('shows the result on a telephone, where it lies below the controls', async () => {
    const { page } = visitor;
    await page.setViewportSize({ width: 390, height: 844 });
    await enter('/quantum');
    await run();
    await until(async () => ((await outcome().boundingBox())?.y ?? 9999) < 500);
    // Neither the bar nor the line that says that it is simulated hides it.
    expect((await outcome().boundingBox())!.y).toBeGreaterThan(90);
    await simulatedInView('a telephone');
  });
});

describe('sessions with others', () => {
  it('are started by name, listed with what came of them, and shown without a bit of a key', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await enter('/quantum/sessions', other);
    await page.getByRole('heading', { name: 'No sessions yet' }).waitFor();
    await page.getByText('No keys wait.').waitFor();
    await sound('no sessions');
    await page.getByRole('button', { name: 'Start a session' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('With whom').fill('nobody at all');
    await dialog.getByRole('button', { name: 'Start', exact: true }).click();
    await dialog.getByText('It is not there, or not for you to see.').waitFor();
    await dialog.getByLabel('With whom').fill(other.name);
    await dialog.getByRole('button', { name: 'Start', exact: true }).click();
    await dialog.getByText('It is you; a session has two people.').waitFor();
    await visitor.examine('starting a session');
    await dialog.getByLabel('With whom').fill(person.name.toUpperCase());
    await dialog.getByRole('button', { name: 'Start', exact: true }).click();

    await outcome().getByText('secret bits').waitFor();
    expect(new URL(page.url()).pathname).toMatch(/^\/quantum\/sessions\/[0-9a-f]{32}$/);
    await page.getByRole('heading', { name: `Session of ${other.name} and ${person.name}` }).waitFor();
    expect(await wholeOf(stage('secret'))).toBeGreaterThan(10_000);
    expect(await page.getByRole('list').filter({ hasText: 'Privacy amplified' }).textContent()).toMatch(/took \d+\sms/);
    // A bit that went into a key is not there.
    const { result } = (await (await server.get(`/api/v1${new URL(page.url()).pathname}`)).json()) as { result: { first_pulses: { use: string; alice_bit?: number }[] } };
    const forKey = result.first_pulses.filter((pulse) => pulse.use === 'key');
    expect(forKey.every((pulse) => pulse.alice_bit === undefined)).toBe(true);
    expect(await page.getByText('not shown: it went into a key').count()).toBe(2 * forKey.length);
    await sound('a session');

    await page.getByRole('link', { name: 'All sessions' }).click();
    const row = page.locator('[data-session]');
    await row.getByText(/^\d\.\d\d%$/).waitFor();
    expect(await row.textContent()).toMatch(/ben → ann.*Made keys/s);
    await page.getByText('you take them, ann fetches them').waitFor();
    expect(await page.getByRole('list', { name: 'Keys that wait' }).textContent()).toMatch(/[1-9]\d* keys/);
    await sound('sessions');
    await row.getByRole('link').click();
    await outcome().waitFor();
  });

  it('can be looked at by both, and by nobody who is told of one that is not there', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await enter('/quantum/sessions', person);
    await page.locator('[data-session]').getByRole('link', { name: 'ben → ann' }).click();
    await outcome().waitFor();
    expect(await page.title()).toContain('Session for quantum keys');
    await page.goto(`${server.url}/quantum/sessions/${'0'.repeat(32)}`);
    await page.getByRole('alert').getByText('It is not there, or not for you to see.').waitFor();
    await sound('a session that is not there');
  });

  it('end without a key where an admin has put an eavesdropper', async () => {
    const { page } = visitor;
    visitor.expectFailures = true;
    await enter('/quantum/sessions', person);
    await page.getByText('Nobody listens.').waitFor();
    await page.getByRole('button', { name: 'Add an eavesdropper' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Between', { exact: true }).fill('ann');
    await dialog.getByLabel('and', { exact: true }).fill('nobody at all');
    await dialog.getByLabel('Eve attacks, in %').fill('0');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await dialog.getByText('It is not there, or not for you to see.').waitFor();
    await dialog.getByText('Enter a number above 0, up to 100.').waitFor();
    await visitor.examine('adding an eavesdropper');
    await dialog.getByLabel('and', { exact: true }).fill('ben');
    await dialog.getByRole('slider', { name: 'Eve attacks' }).focus();
    await page.keyboard.press('End');
    await dialog.getByRole('button', { name: 'Add', exact: true }).click();
    await page.getByText(/A simulated eavesdropper listens between (ann and ben|ben and ann) now\./).waitFor();
    const eves = page.getByRole('list', { name: 'Eavesdroppers' });
    await eves.getByText('Intercept and resend, on 100% of the pulses').waitFor();
    await sound('sessions with an eavesdropper');

    // Her two people see that she is there, and what she did; only admins can do something about it.
    const second = await Visitor.open(browser, server);
    await second.signIn('/quantum/sessions', other);
    await second.page.getByRole('list', { name: 'Eavesdroppers' }).waitFor();
    expect(await second.page.getByRole('button', { name: /eavesdropper/ }).count()).toBe(0);
    await second.page.getByRole('button', { name: 'Start a session' }).click();
    await second.page.getByRole('dialog').getByLabel('With whom').fill('ann');
    await second.page.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click();
    await second.page.getByTestId('outcome').getByText('Aborted: no secret bits').waitFor();
    const qber = Number.parseFloat((await second.page.getByTestId('qber').textContent())!);
    expect(qber).toBeGreaterThan(23);
    expect(qber).toBeLessThan(27);
    await second.page.getByText(/^Intercept and resend: she touched/).waitFor();
    await second.leave();

    await page.getByRole('button', { name: /^Change the eavesdropper between/ }).click();
    await dialog.getByLabel('How she attacks').selectOption('breidbart');
    await dialog.getByLabel('Eve attacks, in %').fill('2.5');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await eves.getByText('Breidbart basis, on 2.5% of the pulses').waitFor();
    await page.getByRole('button', { name: /^Take away the eavesdropper between/ }).click();
    await dialog.getByRole('button', { name: 'Take away' }).click();
    await page.getByText('Nobody listens between').waitFor();
    await page.getByText('Nobody listens.', { exact: true }).waitFor();
  });

  it('are paged, and one that runs or was broken off says so', async () => {
    const { page } = visitor;
    const of = (id: string, state: string) => ({ mode: 'simulated', id: id.padStart(32, '0'), from: { id: 'a', name: 'ann' }, to: { id: 'b', name: 'ben' }, state, started_at: '2026-03-01T09:30:00Z' });
    await page.route(/\/api\/v1\/quantum\/sessions(\?.*)?$/, (route) => {
      const next = new URL(route.request().url()).searchParams.has('cursor');
      return route.fulfill({ json: next ? { mode: 'simulated', items: [of('2', 'failed')] } : { mode: 'simulated', items: [of('1', 'running')], next_cursor: '1-2' } });
    });
    for (const [id, state] of [['1', 'running'], ['2', 'failed']] as const) await page.route(`**/api/v1/quantum/sessions/${id.padStart(32, '0')}`, (route) => route.fulfill({ json: of(id, state) }));
    await enter('/quantum/sessions', person);
    expect(await page.locator('[data-session]').count()).toBe(1);
    await page.getByRole('button', { name: 'Show more' }).click();
    await until(async () => (await page.locator('[data-session]').count()) === 2);
    await page.locator('[data-session]').first().getByRole('link').click();
    await page.getByText('It still runs').waitFor();
    await sound('a session that runs');
    await page.getByRole('link', { name: 'All sessions' }).click();
    await page.getByRole('button', { name: 'Show more' }).click();
    await page.locator('[data-session]').nth(1).getByRole('link').click();
    await page.getByText('It was broken off').waitFor();
    await sound('a session that was broken off');
  });
});

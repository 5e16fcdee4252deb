import type { Visitor } from './browser';
import { other, type Server } from './server';

type Shoot = (name: string, fullPage?: boolean) => Promise<void>;

/** Pictures of the laboratory and of sessions, as an admin who is signed in. */
export async function shootQuantum({ page }: Visitor, server: Server, shoot: Shoot): Promise<void> {
  const eve = page.getByRole('slider', { name: 'Eve attacks' });
  const run = async () => {
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await page.getByRole('button', { name: 'Run', exact: true }).waitFor();
    await page.getByText('The controls have changed since').waitFor({ state: 'detached' });
  };
  await page.goto(`${server.url}/quantum`);
  await page.getByTestId('rate-here').waitFor();
  await shoot('quantum-empty', true);
  await page.getByLabel('Seed').fill('pictures');
  await run();
  await shoot('quantum', true);
  await shoot('quantum-top');
  await page.getByText('The same as a table').click();
  await page.getByText('Where the numbers are from').click();
  await page.getByText('The same as a table').evaluate((summary) => summary.scrollIntoView({ block: 'center' }));
  await shoot('quantum-table');
  await page.getByLabel('Source').selectOption('single');
  await eve.focus();
  await page.keyboard.press('End');
  await run();
  await shoot('quantum-eve', true);
  await page.getByLabel('Source').selectOption('decoy');
  await page.getByRole('combobox', { name: 'Link' }).selectOption('50km');
  await page.getByLabel('How she attacks').selectOption('pns');
  await page.getByRole('checkbox', { name: 'Automatic number of pulses' }).uncheck();
  await page.getByRole('slider', { name: 'Pulses', exact: true }).focus();
  await page.keyboard.press('End');
  await page.getByLabel('Distance, in km').fill('600');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByText('It must be').waitFor();
  await shoot('quantum-refused');
  await page.getByLabel('Distance, in km').fill('50');
  await page.getByRole('button', { name: 'Run', exact: true }).click();
  await page.getByText('It must be fewer').waitFor();
  await page.getByText('It must be fewer').evaluate((words) => words.scrollIntoView({ block: 'center' }));
  await shoot('quantum-refused-pulses');
  await page.getByRole('checkbox', { name: 'Automatic number of pulses' }).check();
  await run();
  await shoot('quantum-pns', true);

  await page.goto(`${server.url}/quantum/sessions`);
  await page.getByRole('heading', { name: 'No sessions yet' }).waitFor();
  await shoot('quantum-sessions-empty');
  for (const name of [other.name, 'clara']) {
    await page.goto(`${server.url}/quantum/sessions`);
    await page.getByRole('button', { name: 'Start a session' }).click();
    await page.getByRole('dialog').getByLabel('With whom').fill(name);
    if (name === 'clara') await shoot('quantum-start');
    await page.getByRole('dialog').getByRole('button', { name: 'Start', exact: true }).click();
    await page.getByTestId('outcome').waitFor();
  }
  await shoot('quantum-session', true);
  await page.getByRole('link', { name: 'All sessions' }).click();
  await page.locator('[data-session]').nth(1).getByText('%').first().waitFor({ state: 'attached' });
  await shoot('quantum-sessions', true);
  const dialog = page.getByRole('dialog');
  await page.getByRole('button', { name: 'Add an eavesdropper' }).click();
  await dialog.getByLabel('Between', { exact: true }).fill(other.name);
  await dialog.getByLabel('and', { exact: true }).fill('clara');
  await shoot('quantum-eavesdropper-new');
  await dialog.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('on 100% of the pulses').waitFor();
  await page.getByRole('button', { name: 'Close', exact: true }).click();
  await page.getByText('on 100% of the pulses').scrollIntoViewIfNeeded();
  await shoot('quantum-eavesdropper');
}

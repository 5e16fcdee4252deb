import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const daemon = process.env.STONEVAULTD ?? fileURLToPath(new URL('../../bin/stonevaultd', import.meta.url));
export const chromium = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** The parts that the tests in a browser need. They are never skipped: what is missing is said. */
export default function setup(): void {
  if (!existsSync(daemon)) throw new Error(`There is no ${daemon}. Run "make web build" at the top of the repository first.`);
  if (!existsSync(chromium)) throw new Error(`There is no ${chromium}. Run "apt-get install chromium", or name another one with CHROMIUM=….`);
}

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import { chromium as playwright, type Browser, type BrowserContext, type BrowserContextOptions, type Page } from 'playwright-core';
import { expect } from 'vitest';
import { chromium } from './built';
import { person } from './server';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function launch(): Promise<Browser> {
  return playwright.launch({
    executablePath: chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
}

/** A window of the browser that notes what a page should never do. */
export class Visitor {
  readonly errors: string[] = [];
  readonly outside: string[] = [];
  /** What the browser says of failed requests is expected while a test makes requests fail. */
  expectFailures = false;

  private constructor(readonly context: BrowserContext, readonly page: Page, readonly url: string) {}

  /** `at` is the server, or a line to it. */
  static async open(browser: Browser, at: { url: string }, options: BrowserContextOptions = {}): Promise<Visitor> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', timezoneId: 'UTC', acceptDownloads: true, ...options });
    context.setDefaultTimeout(60_000); // a machine may be busy
    const page = await context.newPage();
    const visitor = new Visitor(context, page, at.url);
    page.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      if (visitor.expectFailures && /Failed to load resource/.test(message.text())) return;
      visitor.errors.push(`${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => visitor.errors.push(String(error)));
    context.on('request', (request) => {
      if (!request.url().startsWith(`${at.url}/`) && !request.url().startsWith('blob:')) visitor.outside.push(request.url());
    });
    return visitor;
  }

  /** Closes the window and reports what was noted. */
  async leave(): Promise<void> {
    await this.context.close();
    expect(this.errors, 'console errors').toEqual([]);
    expect(this.outside, 'requests to elsewhere').toEqual([]);
  }

  async signIn(path = '/', who = person): Promise<void> {
    await this.page.goto(this.url + path);
    await this.page.getByLabel('Name', { exact: true }).fill(who.name);
    await this.page.getByLabel('Password', { exact: true }).fill(who.password);
    await this.page.getByRole('button', { name: 'Sign in' }).click();
    await this.page.getByRole('button', { name: 'Account', exact: true }).waitFor();
    // The frame is there before the page: what is done in it now would be done from the page for signing in.
    await this.page.waitForURL((url) => url.pathname !== '/sign-in');
  }

  row(name: string) {
    return this.page.getByRole('row').filter({ has: this.page.getByText(name, { exact: true }) });
  }

  transfer(path: string) {
    return this.page.locator(`[data-path="${path}"]`);
  }

  async choose(...files: { name: string; mimeType: string; buffer: Buffer }[]): Promise<void> {
    await this.page.getByTestId('files').setInputFiles(files);
  }

  /** Chooses an entry of a row's menu. */
  async act(name: string, action: string): Promise<void> {
    await this.page.getByRole('button', { name: `Actions for ${name}`, exact: true }).click();
    await this.page.getByRole('menuitem', { name: action, exact: true }).click();
  }

  /** Nothing may be wider than the screen, from the narrowest phone on. */
  async fits(what: string): Promise<void> {
    const before = this.page.viewportSize()!;
    for (const width of [320, 390, 768, 1440]) {
      await this.page.setViewportSize({ width, height: 844 });
      expect(await this.page.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${what} at ${width} pixels`).toBeLessThanOrEqual(0);
    }
    await this.page.setViewportSize(before);
  }

  /** What axe finds that is serious or worse, in both themes. */
  async examine(what: string): Promise<void> {
    for (const colorScheme of ['light', 'dark'] as const) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      // By the debugger, which the page's policy does not bind.
      await this.page.evaluate(axeSource);
      const results = (await this.page.evaluate('axe.run(document)')) as AxeResults;
      expect(results.passes.length, 'rules that axe applied').toBeGreaterThan(10);
      const found = results.violations
        .filter((violation) => violation.impact === 'serious' || violation.impact === 'critical')
        .map((violation) => `${violation.id}: ${violation.nodes.map((node) => `${node.target.join(' ')} ${node.failureSummary ?? ''}`).join('; ')}`);
      expect(found, `${what}, ${colorScheme}`).toEqual([]);
    }
    await this.page.emulateMedia({ colorScheme: 'light' });
  }
}

/** Bytes that no compressor and no mistake in an offset leaves unnoticed. */
export function content(size: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  for (let i = 0; i + 4 <= size; i += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    bytes.writeInt32LE(state, i);
  }
  return bytes;
}

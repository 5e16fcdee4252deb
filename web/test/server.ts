import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { daemon } from './built';

export const person = { name: 'ann', password: 'a heron over seven slow canals' };
/** Somebody who is no administrator. */
export const other = { name: 'ben', password: 'nine lanterns on a northern pier' };

/** A real server on a free port, over a directory of its own. */
export class Server {
  readonly dir = mkdtempSync(join(tmpdir(), 'stonevault-web-'));
  readonly data = join(this.dir, 'data');
  url = '';
  private process: ChildProcess | null = null;
  private log = '';

  /** Makes the first account, as `admin create` does on a terminal. */
  makeAdmin(): void {
    this.makeAccount(person, 'admin');
  }

  makeAccount({ name, password }: typeof person, role: 'admin' | 'manager' | 'user'): void {
    execFileSync(daemon, ['admin', 'create', name, '--role', role, '--password-stdin', '--data', this.data], { input: `${password}\n`, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** Erases an account, and what the audit log says of it. */
  erase({ name }: typeof person): void {
    execFileSync(daemon, ['admin', 'erase', name, '--yes', '--data', this.data], { stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Starts, on the port of the last time if there was one. */
  async start(): Promise<this> {
    const addrFile = join(this.dir, 'addr');
    rmSync(addrFile, { force: true });
    const listen = this.url ? new URL(this.url).host : '127.0.0.1:0';
    const child = spawn(daemon, ['serve', '--data', this.data, '--listen', listen, '--addr-file', addrFile], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    child.stdout.on('data', (text: Buffer) => (this.log += text.toString()));
    child.stderr.on('data', (text: Buffer) => (this.log += text.toString()));
    await until(() => {
      if (child.exitCode !== null) throw new Error(`stonevaultd ended with ${child.exitCode}:\n${this.log}`);
      return existsSync(addrFile) && readFileSync(addrFile, 'utf8').trim() !== '';
    });
    this.url = `http://${readFileSync(addrFile, 'utf8').trim()}`;
    await until(async () => (await fetch(`${this.url}/readyz`).catch(() => null))?.ok ?? false);
    return this;
  }

  /** The one-time code of the first run. */
  setupCode(): string {
    return readFileSync(join(this.data, 'setup-code'), 'utf8').trim();
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  async end(): Promise<void> {
    await this.stop('SIGKILL');
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Asks the API without the page, to see what is really there. */
  async get(path: string): Promise<Response> {
    return fetch(this.url + path, { headers: { Authorization: `Bearer ${await this.token()}` } });
  }

  async put(path: string, body: string | Uint8Array, type = 'application/octet-stream', who = person): Promise<void> {
    const url = `${this.url}/api/v1/content/${path.split('/').filter(Boolean).map(encodeURIComponent).join('/')}`;
    const reply = await fetch(url, { method: 'PUT', body: body as BodyInit, headers: { Authorization: `Bearer ${await this.token(who)}`, 'Content-Type': type, 'Stonevault-Modified-At': '2026-03-01T09:30:00Z' } });
    if (!reply.ok) throw new Error(`put ${path}: ${reply.status} ${await reply.text()}`);
  }

  /** Flips one bit of what is stored of a file, as a bad disk or a stranger would. */
  async damage(path: string, at: number): Promise<void> {
    const { file_id: id } = (await (await this.get(`/api/v1/files/lookup?path=${encodeURIComponent(path)}`)).json()) as { file_id: string };
    const stored = readdirSync(this.data, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith(`${id}.body`));
    if (!stored) throw new Error(`nothing is stored of ${path}`);
    const bytes = readFileSync(join(this.data, stored));
    bytes[at]! ^= 1;
    writeFileSync(join(this.data, stored), bytes);
  }

  private readonly accessTokens = new Map<string, Promise<string>>();
  private token(who = person): Promise<string> {
    const known = this.accessTokens.get(who.name);
    if (known) return known;
    const token = fetch(`${this.url}/api/v1/sessions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(who),
    }).then(async (reply) => ((await reply.json()) as { access_token: string }).access_token);
    this.accessTokens.set(who.name, token);
    return token;
  }
}

/** Waits until something is so, looking every few milliseconds. */
export async function until(check: () => boolean | Promise<boolean>, patience = 60_000): Promise<void> {
  for (const end = Date.now() + patience; !(await check()); ) {
    if (Date.now() > end) throw new Error(`waited in vain: ${check.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

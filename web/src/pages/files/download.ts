import { headContent } from '../../api/generated';
import { asProblem, pageProblem, Problem } from '../../api/problem';
import { freshen } from '../../api/transport';
import { archiveUrl, contentUrl, filesIn, verify, type Entry } from '../../api/vault';
import { t, type MessageKey } from '../../messages';
import { notify } from '../../shell/notices';

/** Servers take headers up to 64 KiB, cookies and all. */
const longestUrl = 48_000;
/** Verified in less time than a person notices. */
const quick = 8 << 20;

/**
 * The browser downloads by itself, with the session's cookie, and tells no page how that ended; of a file that
 * is refused half-way it says no more than that the download failed. So the page has the same content verified:
 * a small file before its download, everything else beside it. `version` is given for an older one of a file.
 */
export async function download(entries: Entry[], version?: Entry): Promise<void> {
  const [only] = entries;
  if (!only) return;
  try {
    if (entries.length === 1 && only.kind === 'file') await one(version ?? only, version?.version);
    else await many(entries);
  } catch (error) {
    notify.problem(error);
  }
}

async function one(file: Entry, version?: number): Promise<void> {
  await freshen();
  if (file.size <= quick) {
    await check(file, 'files.refused', version);
    return follow(contentUrl(file.id, version));
  }
  await headContent({ path: { id: file.id }, query: version ? { version } : {} });
  follow(contentUrl(file.id, version));
  await beside(() => check(file, 'files.refusedMidway', version));
}

async function many(entries: Entry[]): Promise<void> {
  const url = archiveUrl(entries.map((entry) => entry.path));
  if (entries.length > 1000 || url.length > longestUrl) throw pageProblem(t('files.tooMany'));
  await freshen();
  follow(url);
  await beside(async () => {
    for await (const file of filesIn(entries)) await check(file, 'files.refusedMidway');
  });
}

/** Throws what there is to say of a file that is not what was sealed. */
async function check(file: Entry, sentence: MessageKey, version?: number): Promise<void> {
  const { ok } = await verify(file.id, version);
  if (!ok) throw new Problem('refused', 409, t(sentence, { name: file.name }), '', 0);
}

/** Of what goes on beside a download, only a refusal is news; the download itself shows the rest. */
async function beside(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (asProblem(error).code === 'refused') throw error;
  }
}

function follow(url: string): void {
  const link = document.createElement('a');
  link.href = url;
  link.download = '';
  link.click();
}

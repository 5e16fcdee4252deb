import { headContent } from '../../api/generated';
import { freshen } from '../../api/transport';
import { archiveUrl, contentUrl, type Entry } from '../../api/vault';
import { t } from '../../messages';
import { notify } from '../../shell/notices';

/** Servers take headers up to 64 KiB, cookies and all. */
const longestUrl = 48_000;

/**
 * The browser downloads by itself, with the session's cookie. The server is asked first whether it would:
 * a file that it refuses is explained here, and not by a download that fails.
 */
export async function download(entries: Entry[], version?: number): Promise<void> {
  const [only] = entries;
  if (!only) return;
  try {
    await freshen();
    if (entries.length === 1 && only.kind === 'file') {
      await headContent({ path: { id: only.id }, query: version ? { version } : {} });
      follow(contentUrl(only.id, version));
    } else {
      const url = archiveUrl(entries.map((entry) => entry.path));
      if (entries.length > 1000 || url.length > longestUrl) throw new Error(t('files.tooMany'));
      follow(url);
    }
  } catch (error) {
    notify.problem(error);
  }
}

function follow(url: string): void {
  const link = document.createElement('a');
  link.href = url;
  link.download = '';
  link.click();
}

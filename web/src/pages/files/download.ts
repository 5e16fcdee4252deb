import { headContent } from '../../api/generated';
import { freshen } from '../../api/transport';
import { archiveUrl, contentUrl, type Entry } from '../../api/vault';
import { notify } from '../../shell/notices';

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
      follow(archiveUrl(entries.map((entry) => entry.path)));
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

import { File, FileArchive, FileCode, FileImage, FileMusic, FilePlay, FileSpreadsheet, FileText, Folder } from '@lucide/vue';
import type { Entry } from '../../api/vault';

const byType: [RegExp, typeof File][] = [
  [/^image\//, FileImage],
  [/^video\//, FilePlay],
  [/^audio\//, FileMusic],
  [/zip|tar|compress|7z|rar|zstd/, FileArchive],
  [/spreadsheet|excel|csv/, FileSpreadsheet],
  [/json|xml|javascript|html|css|x-sh|x-python|toml|yaml/, FileCode],
  [/^text\/|pdf|document|msword|rtf/, FileText],
];

export function iconOf(entry: Entry): typeof File {
  if (entry.kind === 'folder') return Folder;
  return byType.find(([pattern]) => pattern.test(entry.media_type ?? ''))?.[1] ?? File;
}

import { locale, t } from './index';

const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte'] as const;

/** A size for people, in powers of 1,000: "0 bytes", "1.2 MB". */
export function formatSize(bytes: number): string {
  if (bytes < 1000) return t('format.bytes', { n: bytes });
  let unit = 0;
  let value = bytes;
  // 999,500 would round to "1,000 kB".
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return new Intl.NumberFormat(locale, {
    style: 'unit',
    unit: units[unit]!,
    unitDisplay: 'short',
    maximumFractionDigits: value < 10 ? 1 : 0,
    minimumFractionDigits: 0,
  }).format(value < 100 ? value : Math.round(value));
}

const percent = new Intl.NumberFormat(locale, { style: 'percent', maximumSignificantDigits: 4 });

/** A part that is given in millionths: "2.407%". */
export function formatRate(millionths: number): string {
  return percent.format(millionths / 1e6);
}

export function formatSpeed(bytesPerSecond: number): string {
  return t('format.speed', { size: formatSize(Math.round(bytesPerSecond)) });
}

/** How long something will take, rounded to what a person can use: "12 seconds", "3 minutes", "2 hours". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds > 7 * 86400) return t('format.long');
  const rounded = Math.max(1, Math.round(seconds));
  if (rounded < 57) return t('format.seconds', { n: rounded < 10 ? rounded : Math.round(rounded / 5) * 5 });
  if (rounded < 55 * 60) return t('format.minutes', { n: Math.round(rounded / 60) });
  if (rounded < 36 * 3600) return t('format.hours', { n: Math.max(1, Math.round(rounded / 3600)) });
  return t('format.days', { n: Math.round(rounded / 86400) });
}

/** What is left of a wait that is counted down, to the second while that is near. */
export function formatWait(seconds: number): string {
  return seconds < 100 ? t('format.seconds', { n: seconds }) : t('format.minutes', { n: Math.ceil(seconds / 60) });
}

const sameYear = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hour12: false });
const otherYear = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' });
const exact = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'short', hour12: false });

/** A time for a list; the exact one belongs into the title. */
export function formatTime(time: string | undefined, now = new Date()): string {
  if (!time) return '';
  const at = new Date(time);
  return (at.getFullYear() === now.getFullYear() ? sameYear : otherYear).format(at);
}

export function formatExactTime(time: string | undefined): string {
  return time ? exact.format(new Date(time)) : '';
}

const toTheSecond = new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeStyle: 'medium', hour12: false });

/** For events, where seconds tell which came first. */
export function formatSecond(time: string | number | undefined): string {
  return time === undefined || time === '' ? '' : toTheSecond.format(new Date(time));
}

const ago = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });

/** How long ago something was, up to a week; before that, when. The exact time belongs into the title. */
export function formatAgo(time: string, now = new Date()): string {
  const seconds = (now.getTime() - Date.parse(time)) / 1000;
  if (seconds < 45) return t('format.now');
  if (seconds < 55 * 60) return ago.format(-Math.max(1, Math.round(seconds / 60)), 'minute');
  if (seconds < 22 * 3600) return ago.format(-Math.max(1, Math.round(seconds / 3600)), 'hour');
  if (seconds < 6.5 * 86400) return ago.format(-Math.max(1, Math.round(seconds / 86400)), 'day');
  return formatTime(time, now);
}

/** The first and last digits of a fingerprint: enough to tell two apart at a glance, not to compare them. */
export function shortFingerprint(hex: string): string {
  return hex.length <= 16 ? hex : `${hex.slice(0, 8)}…${hex.slice(-8)}`;
}

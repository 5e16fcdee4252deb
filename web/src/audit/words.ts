import type { AuditEvent } from '../api/generated';
import { has, t, type MessageKey, type Values } from '../messages';
import { formatRate, formatSecond, formatSize, formatTime } from '../messages/format';
import { browserName } from '../session/device';
import { fieldsOf, type Field, type Slot } from './types';

/** Events in words. */

export const groups = ['files', 'access', 'accounts', 'server'] as const;
export type Group = (typeof groups)[number];

/** What types of a group begin with. */
export const prefixes: Record<Group, readonly string[]> = {
  files: ['file.', 'files.', 'folder.', 'upload.', 'download.'],
  access: ['session.', 'token.', 'access.', 'setup.'],
  accounts: ['account.', 'factor.', 'quota.', 'group.', 'member.', 'key.', 'recovery.', 'person.', 'quantum.'],
  server: ['server.', 'settings.', 'webhook.', 'log.', 'vault.'],
};

export function groupOf(type: string): Group {
  return groups.find((group) => prefixes[group].some((prefix) => type.startsWith(prefix))) ?? 'server';
}

/** Something to look at twice: a refusal, a theft, what is not what was sealed. */
export function isWarning(event: AuditEvent): boolean {
  return /^(session|access|setup|quantum)\.refused$|^token\.reused$/.test(event.type) || (event.type === 'quantum.session' && text(event, 'state') === 'aborted') || said(event, 'ok') === false || said(event, 'reason') === 'token-reused' || (event.type === 'server.stopped' && said(event, 'reason') === 'failed');
}

function said(event: AuditEvent, name: string, slot: Slot = 'operational'): unknown {
  return event[slot]?.[name];
}

function text(event: AuditEvent, name: string, slot: Slot = 'operational'): string {
  const value = said(event, name, slot);
  return typeof value === 'string' ? value : '';
}

function number(event: AuditEvent, name: string): number {
  const value = said(event, name);
  return typeof value === 'number' ? value : 0;
}

type Who = 'you' | 'erased' | 'unknown' | 'machine' | 'named';

function who(event: AuditEvent, me: string): Who {
  if (event.erased?.includes('actor')) return 'erased';
  if (!event.actor) return 'unknown';
  const person = text(event, 'person', 'actor');
  if (person) return person === me ? 'you' : text(event, 'name', 'actor') ? 'named' : 'unknown';
  return text(event, 'address', 'actor') ? 'unknown' : 'machine';
}

function whose(event: AuditEvent): string {
  if (event.erased?.includes('subject')) return t('audit.whose.erased');
  return text(event, 'name', 'subject') || t('audit.whose.unknown');
}

const withheld = (event: AuditEvent): boolean => event.withheld?.includes('subject') ?? false;

function fileName(event: AuditEvent, field = 'path'): string {
  const folder = event.type === 'folder.created' || said(event, 'kind') === 'folder'; // the sentence says so itself
  const hidden = withheld(event) ? (folder ? 'audit.nameWithheld' : 'audit.fileWithheld') : 'audit.fileHidden';
  return text(event, field, 'subject') || t(event.erased?.includes('subject') ? 'audit.fileErased' : hidden);
}

const parent = (path: string): string => path.slice(0, path.lastIndexOf('/'));

/** Which sentence tells an event, where it depends on more than its type. */
const variants: { [type: string]: (event: AuditEvent) => string } = {
  'log.begun': (event) => text(event, 'reason'),
  'server.stopped': (event) => text(event, 'reason'),
  'account.created': (event) => text(event, 'by'),
  'account.changed': (event) => text(event, 'what'),
  'account.invited': (event) => text(event, 'what'),
  'account.reset': (event) => text(event, 'what'),
  'factor.changed': (event) => text(event, 'what'),
  'quota.changed': (event) => (text(event, 'group') ? 'group' : 'person'),
  'member.changed': (event) => (said(event, 'manager') === true ? 'manager' : 'member'),
  'member.removed': (event) => text(event, 'reason'),
  'webhook.changed': (event) => text(event, 'what'),
  'recovery.rotated': (event) => text(event, 'state'),
  'key.rotated': (event) => text(event, 'state'),
  'session.refused': (event) => text(event, 'reason'),
  'session.ended': (event) => text(event, 'reason'),
  'file.put': (event) => (number(event, 'version') > 1 ? 'again' : 'first'),
  'file.moved': (event) => (withheld(event) ? 'hidden' : event.subject && parent(text(event, 'from', 'subject')) === parent(text(event, 'to', 'subject')) ? 'renamed' : 'moved'),
  'file.deleted': (event) => text(event, 'kind'),
  'file.verified': (event) => (said(event, 'ok') === true ? 'sound' : 'unsound'),
  'upload.ended': (event) => text(event, 'reason'),
  'download.begun': (event) => text(event, 'by'),
  'download.ended': (event) => text(event, 'outcome'),
  'quantum.session': (event) => text(event, 'state'),
  'quantum.delivered': (event) => text(event, 'what'),
  'quantum.refused': (event) => text(event, 'reason'),
  'quantum.eavesdropper': (event) => text(event, 'what'),
};

export interface Sentence {
  key: MessageKey;
  values: Values;
}

/** What happened, as a message and its values. `me` is the id of the person who reads it. */
export function sentence(event: AuditEvent, me: string): Sentence {
  if (event.damaged) return { key: 'audit.damagedRow', values: {} };
  const actor = who(event, me);
  const name = text(event, 'name', 'actor');
  const [from, to] = [fileName(event, 'from'), fileName(event, 'to')];
  const variant = variants[event.type]?.(event);
  const kind = `audit.key.${text(event, 'kind')}`;
  const values: Values = {
    who: actor === 'named' ? name : t(`audit.who.${actor}`),
    whoInside: actor === 'named' ? name : t(`audit.who.${actor}Inside`),
    whose: whose(event),
    file: fileName(event),
    from,
    to: variant === 'renamed' ? to.slice(to.lastIndexOf('/') + 1) : to,
    n: number(event, 'size'),
    value: word(text(event, 'value')),
    what: word(text(event, 'what')),
    named: text(event, 'name'),
    host: text(event, 'host'),
    key: has(kind) ? t(kind, { whose: whose(event) }) : text(event, 'kind'),
    type: event.type,
  };
  // There may be no account of the name that was tried, and then nobody knows what was typed.
  const stem = event.type === 'session.refused' && !event.subject && !event.erased?.includes('subject') ? 'session.refusedUnknown' : event.type;
  const key = `audit.says.${stem}${variant === undefined ? '' : `.${variant}`}`;
  return has(key) ? { key, values } : { key: 'audit.says.other', values };
}

/** What stands below the sentence: how often, from where, with what, how much. */
export function remarks(event: AuditEvent): string[] {
  if (event.damaged) return [];
  const found: string[] = [];
  if (number(event, 'count') > 1) found.push(t('audit.more', { n: number(event, 'count'), time: formatTime(new Date(number(event, 'since')).toISOString()) }));
  if (event.type === 'access.refused') found.push(`${text(event, 'method')} ${text(event, 'route')} · ${number(event, 'status')}`);
  if (event.type === 'server.configured') found.push(text(event, 'changed'));
  if (event.type === 'server.started' || event.type === 'server.migrated') found.push(text(event, 'software'));
  if (event.type === 'file.put' && number(event, 'version') > 1) found.push(t('audit.versionOf', { n: number(event, 'version') }));
  if (event.type === 'file.deleted' && number(event, 'versions') > 1) found.push(t('audit.versions', { n: number(event, 'versions') }));
  if (event.type === 'file.exported' && number(event, 'recipients') > 0) found.push(t('audit.recipients', { n: number(event, 'recipients') }));
  if (/^(file\.put|download\.begun)$/.test(event.type) || (event.type === 'upload.begun' && said(event, 'size_known') === true)) found.push(formatSize(number(event, 'size')));
  if (event.type === 'quantum.session' && text(event, 'state') !== 'failed') {
    if (text(event, 'state') === 'aborted') found.push(word(text(event, 'reason')));
    found.push(t('audit.qber', { rate: formatRate(number(event, 'qber')) }));
    if (number(event, 'keys') > 0) found.push(t('audit.keysMade', { n: number(event, 'keys') }));
    if (said(event, 'eavesdropper') === true) found.push(t('audit.eavesdropped'));
  }
  if (event.type === 'quantum.delivered') found.push(t('audit.keysMade', { n: number(event, 'keys') }));
  if (event.type === 'quantum.eavesdropper' && text(event, 'what') !== 'off') found.push(t('audit.attacked', { attack: word(text(event, 'attack')), rate: formatRate(number(event, 'share')) }));
  if (event.type === 'download.ended') found.push(formatSize(number(event, 'bytes')));
  // What the server does by itself, it does nowhere else.
  if (event.actor && groupOf(event.type) !== 'server') {
    const address = text(event, 'address', 'actor');
    found.push(address ? t('audit.from', { address }) : t('audit.machine'));
    const client = text(event, 'client', 'actor');
    found.push(client.startsWith('Mozilla/') ? browserName(client) : client);
  }
  return found.filter(Boolean);
}

/** One of the words that the table of types allows, or whatever else it is. */
function word(value: string): string {
  const key = `audit.words.${value}`;
  return has(key) ? t(key) : value;
}

export interface Fact {
  name: string;
  label: string;
  value: string;
  /** An id or a digest: digits that nobody reads aloud. */
  mono: boolean;
}

/** All that a slot says, in the order of the table of types. */
export function facts(event: AuditEvent, slot: Slot): Fact[] {
  const values = event[slot];
  if (!values) return [];
  const known = fieldsOf(event.type, event.type_version, slot);
  const rest = Object.keys(values).filter((name) => !known.some((field) => field.name === name));
  const all: Field[] = [...known, ...rest.map((name): Field => ({ name, kind: 'text', max: 0, among: null }))];
  return all.filter((field) => Object.hasOwn(values, field.name)).map((field) => fact(event, field, values[field.name], slot));
}

function fact(event: AuditEvent, field: Field, value: unknown, slot: Slot): Fact {
  const key = `audit.fields.${field.name}`;
  return { name: field.name, label: has(key) ? t(key) : field.name, value: valueText(event, field, value, slot), mono: field.kind === 'text' && !field.among && /^(32|42|64|66|96)$/.test(String(field.max)) && field.name !== 'address' && field.name !== 'software' };
}

function valueText(event: AuditEvent, field: Field, value: unknown, slot: Slot): string {
  if (typeof value === 'boolean') return t(value ? 'audit.event.yes' : 'audit.event.no');
  if (Array.isArray(value)) return `${t('audit.event.parts', { n: value.length })}: ${value.join(', ')}`;
  if (typeof value === 'number') {
    if (field.name === 'qber' || field.name === 'share') return formatRate(value);
    if (field.name === 'since') return formatSecond(value);
    if (field.name === 'bytes' || field.name === 'offset' || (field.name === 'size' && groupOf(event.type) === 'files')) return t('format.bytes', { n: value });
    if (field.name === 'suite') return t(value === 2 ? 'suites.2.short' : 'suites.1.short');
    return String(value);
  }
  if (typeof value !== 'string') return JSON.stringify(value);
  if (value) return field.among || field.name === 'value' ? word(value) : value;
  if (slot === 'actor' && field.name === 'address') return t('audit.machine');
  return t(field.name === 'person' ? 'audit.event.unknownPerson' : 'audit.event.empty');
}

/** The id by which the log is asked for all that happened to the file of an event; empty where it is about none. */
export function fileOf(event: AuditEvent): string {
  return text(event, 'document') || text(event, 'node') || text(event, 'file');
}

/** The table of types of docs/spec/audit.md, section 2.2. A row never changes once a release has written it. */

export type Slot = 'operational' | 'actor' | 'subject';
export const slots: readonly Slot[] = ['operational', 'actor', 'subject'];

export interface Field {
  name: string;
  kind: 'text' | 'count' | 'flag' | 'parts';
  /** Bytes of a text. */
  max: number;
  /** The texts that may stand here, where not every one may. */
  among: string[] | null;
}

export interface EventType {
  number: number;
  name: string;
  version: number;
  fields: Record<Slot, Field[] | null>;
}

/** `name:64` is a text of up to 64 bytes, `name:a|b` one of these, `name:count`, `name:flag` and `name:parts` the rest. */
function fields(text: string): Field[] | null {
  if (!text) return null;
  return text.split(' ').map((part) => {
    const [name = '', kind = ''] = part.split(':');
    if (kind === 'count' || kind === 'flag' || kind === 'parts') return { name, kind, max: 0, among: null };
    return /^\d+$/.test(kind) ? { name, kind: 'text', max: Number(kind), among: null } : { name, kind: 'text', max: 0, among: kind.split('|') };
  });
}

const who = 'person:32 name:255 session:32 client:200 address:64';
const account = 'person:32 name:255';
const file = 'person:32 path:4096';
const key = 'kind:root|recovery|person|vault|group|log identity:32 version:count suite:count fingerprint:96';

const rows: [number: number, version: number, name: string, operational: string, actor?: string, subject?: string][] = [
  [1, 1, 'log.begun', 'origin:255 reason:first|restored|recovered previous_checkpoint:4176 previous_anchor:4096'],
  [2, 1, 'log.anchored', 'chain:count contract:42 transaction:66 block:count size:count root:64'],
  [3, 1, 'person.erased', 'parts:parts piece:count pieces:count', who],
  [16, 1, 'server.started', 'software:64 suite:count settings:64', who],
  [17, 1, 'server.stopped', 'reason:asked|failed'],
  [18, 1, 'server.configured', 'settings:64 previous:64 changed:4096', who],
  [19, 1, 'server.migrated', 'from:count to:count software:64'],
  [20, 1, 'vault.recovered', 'documents:count versions:count refused:count root:96', who],
  [21, 1, 'settings.changed', 'name:64 value:1024', who],
  [22, 1, 'webhook.changed', 'webhook:32 what:created|changed|secret|deleted host:255 events:1024 active:flag', who],
  [32, 1, 'account.created', 'role:admin|manager|user by:command|page|recovery|admin', who, account],
  [32, 2, 'account.created', 'role:admin|manager|user by:command|page|recovery|admin|invitation|registration', who, account],
  [33, 1, 'account.changed', 'what:password|role|name|active value:16', who, account],
  [33, 2, 'account.changed', 'what:password|role|name|active|profile value:16 by:self|link|admin|command', who, account],
  [34, 1, 'account.invited', 'invitation:32 what:created|withdrawn|used group:32 expires:count', who, account],
  [35, 1, 'account.reset', 'what:created|used expires:count', who, account],
  [36, 1, 'factor.changed', 'what:enrolled|removed|codes-drawn|code-used codes_left:count', who, account],
  [37, 1, 'quota.changed', 'group:32 limited_bytes:flag bytes:count limited_files:flag files:count', who, account],
  [38, 1, 'files.handed-over', 'to:32 folder:255 documents:count bytes:count', who, account],
  [48, 1, 'key.published', key, who, account],
  [49, 1, 'key.retired', key, who, account],
  [50, 1, 'recovery.confirmed', 'version:count fingerprint:96', who],
  [51, 1, 'recovery.rotated', 'version:count fingerprint:96 state:begun|done rewritten:count', who],
  [52, 1, 'key.rotated', 'what:master|identity|root|suite|tokens state:announced|begun|done version:count fingerprint:96 rewritten:count', who, account],
  [53, 1, 'key.destroyed', key, who, account],
  [64, 1, 'session.opened', 'method:password', who],
  [64, 2, 'session.opened', 'method:password|totp|recovery-code new_device:flag', who],
  [65, 1, 'session.refused', 'count:count since:count reason:credentials|limit', who, account],
  [65, 2, 'session.refused', 'count:count since:count reason:credentials|limit|second-factor', who, account],
  [66, 1, 'session.ended', 'reason:signed-out|token-reused|password-changed|revoked', who, account],
  [66, 2, 'session.ended', 'reason:signed-out|token-reused|password-changed|revoked|deactivated all:flag', who, account],
  [67, 1, 'token.reused', 'session:32', who, account],
  [68, 1, 'access.refused', 'count:count since:count method:16 route:255 status:count', who],
  [69, 1, 'setup.refused', 'count:count since:count', who],
  [70, 1, 'token.created', 'token:32 scopes:255 expires:count', who, account],
  [71, 1, 'token.revoked', 'token:32 all:flag reason:revoked|deactivated', who, account],
  [80, 1, 'file.put', 'file:32 revision:count manifest:96 document:32 version:count size:count class:normal|restricted by:put|upload', who, file],
  [81, 1, 'file.moved', 'file:32 revision:count manifest:96 node:32 kind:file|folder', who, 'person:32 from:4096 to:4096'],
  [82, 1, 'file.deleted', 'node:32 kind:file|folder versions:count', who, file],
  [83, 1, 'folder.created', 'node:32', who, file],
  [84, 1, 'upload.begun', 'file:32 size:count size_known:flag', who, file],
  [85, 1, 'upload.ended', 'file:32 offset:count reason:cancelled|expired', who, file],
  [86, 1, 'download.begun', 'file:32 document:32 version:count download:32 size:count by:content|archive', who, file],
  [87, 1, 'download.ended', 'file:32 document:32 version:count download:32 outcome:complete|broken-off bytes:count', who, file],
  [88, 1, 'file.exported', 'file:32 document:32 version:count download:32 manifest:96 recipients:count passphrase:flag', who, file],
  [89, 1, 'file.verified', 'file:32 document:32 version:count ok:flag segments:count bytes:count', who, file],
  [90, 1, 'file.resealed', 'file:32 revision:count manifest:96 reason:rotation', who, file],
  [90, 2, 'file.resealed', 'file:32 revision:count manifest:96 reason:rotation|hand-over', who, file],
  [96, 1, 'group.created', 'group:32 name:255', who],
  [97, 1, 'group.changed', 'group:32 name:255', who],
  [98, 1, 'group.deleted', 'group:32', who],
  [99, 1, 'member.changed', 'group:32 member:flag manager:flag', who, account],
  [100, 1, 'member.removed', 'group:32 reason:removed|left|erased', who, account],
  [112, 1, 'quantum.session', 'session:32 state:done|aborted|failed reason:none|few|qber|length|verification|broken-off secret_bits:count qber:count keys:count eavesdropper:flag', who, account],
  [113, 1, 'quantum.delivered', 'what:taken|fetched keys:count bits:count', who, account],
  [114, 1, 'quantum.refused', 'count:count since:count reason:nobody|foreign|limit', who, account],
  [115, 1, 'quantum.eavesdropper', 'what:on|changed|off attack:intercept|breidbart|pns share:count', who, account],
];

export const types: EventType[] = rows.map(([number, version, name, operational, actor = '', subject = '']) => ({
  number,
  name,
  version,
  fields: { operational: fields(operational), actor: fields(actor), subject: fields(subject) },
}));

export function typeOf(number: number, version: number): EventType | undefined {
  return types.find((type) => type.number === number && type.version === version);
}

/** The fields of a slot in the order of the table; none of what this page does not know. */
export function fieldsOf(name: string, version: number, slot: Slot): Field[] {
  return types.find((type) => type.name === name && type.version === version)?.fields[slot] ?? [];
}

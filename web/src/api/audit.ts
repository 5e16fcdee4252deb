import {
  getAuditEvent, getAuditLog, getAuditReceipt, listAuditAnchors, listAuditEvents,
  type AuditAnchor, type AuditAnchorList, type AuditEvent, type AuditEventList, type AuditLog,
} from './generated';

/** The audit log as the page uses it. All of these throw a Problem. */

export type { AuditAnchor, AuditEvent, AuditLog };

export async function auditLog(): Promise<AuditLog> {
  return (await getAuditLog()).data as AuditLog;
}

/** What a list of events is asked for. */
export interface EventQuery {
  /** A type, or what several begin with. */
  type?: string;
  person?: string;
  file?: string;
  since?: string;
  until?: string;
  /** Only what was recorded after the event with this id. */
  after?: number;
}

export async function eventPage(query: EventQuery, limit: number, cursor?: string): Promise<AuditEventList> {
  return (await listAuditEvents({ query: { ...query, limit, ...(cursor ? { cursor } : {}) } })).data as AuditEventList;
}

export async function auditEvent(id: number): Promise<AuditEvent> {
  return (await getAuditEvent({ path: { event: id } })).data as AuditEvent;
}

/** The receipt, byte for byte. Waits until a signed head covers the event. */
export async function receiptOf(id: number): Promise<Uint8Array<ArrayBuffer>> {
  const { data } = await getAuditReceipt({ path: { event: id }, headers: { Prefer: 'wait' }, parseAs: 'arrayBuffer' });
  return new Uint8Array(data as unknown as ArrayBuffer);
}

/** The first final anchor that covers the event at this place of the current log; null where there is none. */
export async function anchorOf(index: number): Promise<AuditAnchor | null> {
  let found: AuditAnchor | null = null;
  let cursor: string | undefined;
  do {
    const page = (await listAuditAnchors({ query: { limit: 100, ...(cursor ? { cursor } : {}) } })).data as AuditAnchorList;
    // The newest come first, and each covers more than those before it.
    for (const anchor of page.items) {
      if (anchor.state !== 'final') continue;
      if (anchor.size <= index) return found;
      found = anchor;
    }
    cursor = page.next_cursor;
  } while (cursor);
  return found;
}

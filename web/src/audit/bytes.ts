/** Bytes as the audit log writes them. Whatever could be written in another way is refused. */

export type Bytes = Uint8Array<ArrayBuffer>;

const ascii = new TextEncoder();
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const bytesOf = (text: string): Bytes => ascii.encode(text) as Bytes;

/** Null where these bytes are no UTF-8. */
export function textOf(bytes: Uint8Array): string | null {
  try {
    return strict.decode(bytes);
  } catch {
    return null;
  }
}

export function concat(...parts: Uint8Array[]): Bytes {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function fromHex(text: string): Bytes {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** base64 with padding; null where it is none, or where idle bits are not zero. */
export function fromBase64(text: string): Bytes | null {
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null;
  const raw = atob(text);
  if (btoa(raw) !== text) return null;
  return Uint8Array.from(raw, (character) => character.charCodeAt(0));
}

/** A decimal number without leading zeros, up to 2^48 − 1; null where it is none. */
export function decimal(text: string): number | null {
  if (!/^(?:0|[1-9][0-9]{0,14})$/.test(text)) return null;
  const n = Number(text);
  return n <= maxSize ? n : null;
}

/** The most events that a log has. */
export const maxSize = 2 ** 48 - 1;

/** An unsigned number of up to 8 bytes; of more than 2^53 the last digits are lost, which every limit here is far below. */
export function unsigned(bytes: Uint8Array): number {
  return bytes.reduce((n, byte) => n * 256 + byte, 0);
}

import { bytesOf, concat, decimal, equal, fromBase64, hex, unsigned, type Bytes } from './bytes';
import { sha256 } from './tree';

/** Signed heads, and the keys that they are signed with (docs/spec/audit.md, section 5). */

export interface LogKey {
  origin: string;
  /** Ed25519. */
  classical: { id: Bytes; key: Bytes };
  /** ML-DSA-44, which no browser verifies. */
  quantumSafe: { id: Bytes; key: Bytes };
}

export interface Checkpoint {
  origin: string;
  size: number;
  root: Bytes;
  /** Seconds since 1970, as the log says. */
  time: number;
  /** The lines that Ed25519 signs. */
  signed: Bytes;
  classical: { id: Bytes; signature: Bytes };
  quantumSafe: { id: Bytes; signature: Bytes };
}

const originForm = /^[!-*,-~]{1,255}$/;
const maxCheckpoint = 4176;
const emptyRoot = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=';

/** Reads the two verifier keys of a log; null where these lines are none. */
export async function parseKey(text: string): Promise<LogKey | null> {
  const lines = text.split('\n');
  if (lines.length !== 3 || lines[2] !== '') return null;
  const origin = text.slice(0, text.indexOf('+'));
  if (!originForm.test(origin)) return null;
  const keys: { id: Bytes; key: Bytes }[] = [];
  for (const [i, [type, length]] of ([[0x01, 32], [0x06, 1312]] as const).entries()) {
    const parts = /^([^+]+)\+([0-9a-f]{8})\+(.*)$/.exec(lines[i]!);
    const raw = fromBase64(parts?.[3] ?? '');
    if (parts?.[1] !== origin || raw?.length !== length + 1 || raw[0] !== type) return null;
    const id = (await sha256(concat(bytesOf(`${origin}\n`), raw))).slice(0, 4);
    if (hex(id) !== parts[2]) return null;
    keys.push({ id, key: raw.slice(1) });
  }
  return { origin, classical: keys[0]!, quantumSafe: keys[1]! };
}

/** Reads a checkpoint in the one form that it may have. Nothing in it is to be believed before its signatures. */
export function parseCheckpoint(text: string): Checkpoint | null {
  if (bytesOf(text).length > maxCheckpoint) return null;
  const [origin = '', sizeText = '', rootText = '', blank, ...signatures] = text.split('\n');
  const size = decimal(sizeText);
  const root = fromBase64(rootText);
  if (!originForm.test(origin) || size === null || root?.length !== 32 || blank !== '' || signatures.length !== 3 || signatures[2] !== '') return null;
  if (size === 0 && rootText !== emptyRoot) return null;
  const start = `— ${origin} `;
  const [classical, quantumSafe] = signatures.map((line) => (line.startsWith(start) ? fromBase64(line.slice(start.length)) : null));
  if (classical?.length !== 4 + 64 || quantumSafe?.length !== 4 + 8 + 2420 || quantumSafe[4]! > 127) return null;
  return {
    origin,
    size,
    root,
    time: unsigned(quantumSafe.subarray(4, 12)),
    signed: bytesOf(`${origin}\n${sizeText}\n${rootText}\n`),
    classical: { id: classical.slice(0, 4), signature: classical.slice(4) },
    quantumSafe: { id: quantumSafe.slice(0, 4), signature: quantumSafe.slice(4) },
  };
}

/** `unchecked` where this browser has no Ed25519. */
export type SignatureState = 'good' | 'wrong' | 'unchecked';

/** Checks whose checkpoint it is, and its Ed25519 signature. The other one is left to the command line. */
export async function checkSignature(checkpoint: Checkpoint, key: LogKey): Promise<SignatureState> {
  const ours = checkpoint.origin === key.origin && equal(checkpoint.classical.id, key.classical.id) && equal(checkpoint.quantumSafe.id, key.quantumSafe.id);
  if (!ours) return 'wrong';
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey('raw', key.classical.key, { name: 'Ed25519' }, false, ['verify']);
  } catch (error) {
    return error instanceof DOMException && error.name === 'NotSupportedError' ? 'unchecked' : 'wrong';
  }
  return (await crypto.subtle.verify({ name: 'Ed25519' }, imported, checkpoint.classical.signature, checkpoint.signed)) ? 'good' : 'wrong';
}

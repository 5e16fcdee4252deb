import { concat, equal, type Bytes } from './bytes';

/** The tree of RFC 6962, as far as one path through it goes. */

export async function sha256(bytes: Bytes): Promise<Bytes> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}

const leafPrefix = Uint8Array.of(0);
const nodePrefix = Uint8Array.of(1);

export const leafHash = (leaf: Bytes): Promise<Bytes> => sha256(concat(leafPrefix, leaf));
export const nodeHash = (left: Bytes, right: Bytes): Promise<Bytes> => sha256(concat(nodePrefix, left, right));

/** Which events a node stands for: from the first to the last one, both included. */
export interface Range {
  first: number;
  last: number;
}

/** Where the neighbours on the way up stand, and what they and the nodes above them stand for. The leaf's comes first. */
export interface Place {
  side: 'left' | 'right';
  sibling: Range;
  above: Range;
}

/** The way from a leaf to the root. What the tree looks like follows from the two numbers alone. */
export function way(index: number, size: number): Place[] {
  const places: Place[] = [];
  let first = 0;
  let count = size;
  while (count > 1) {
    let half = 1;
    while (half * 2 < count) half *= 2;
    const above = { first, last: first + count - 1 };
    if (index < first + half) {
      places.push({ side: 'right', sibling: { first: first + half, last: above.last }, above });
      count = half;
    } else {
      places.push({ side: 'left', sibling: { first, last: first + half - 1 }, above });
      first += half;
      count -= half;
    }
  }
  return places.reverse();
}

/** One step up: hashed with the neighbour, the node so far gives the one above. */
export interface Step extends Place {
  hash: Bytes;
  result: Bytes;
}

/** Hashes from a leaf up. Null where a path of this length leads nowhere in a tree of this size. */
export async function climb(index: number, size: number, leaf: Bytes, proof: Bytes[]): Promise<Step[] | null> {
  if (index >= size) return null;
  const places = way(index, size);
  if (places.length !== proof.length) return null;
  const steps: Step[] = [];
  let at = leaf;
  for (const [i, place] of places.entries()) {
    const hash = proof[i]!;
    at = place.side === 'left' ? await nodeHash(hash, at) : await nodeHash(at, hash);
    steps.push({ ...place, hash, result: at });
  }
  return steps;
}

/** Whether the path leads from the leaf to this root. */
export async function included(index: number, size: number, root: Bytes, leaf: Bytes, proof: Bytes[]): Promise<boolean> {
  const steps = await climb(index, size, leaf, proof);
  return steps !== null && equal(steps.at(-1)?.result ?? leaf, root);
}

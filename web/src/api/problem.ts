import { has, t, type MessageKey } from '../messages';
import type { Problem as Document } from './generated';

/** What went wrong, in words for people. Every failed request becomes one. */
export class Problem extends Error {
  constructor(
    /** The last part of the problem's type, or `network` where no answer came. */
    readonly code: string,
    readonly status: number,
    message: string,
    readonly requestId: string,
    readonly retryAfter: number,
  ) {
    super(message);
    this.name = 'Problem';
  }

  /** What the person can do about it. */
  get advice(): string {
    const key = `problems.${this.code}`;
    if (has(key)) return t(key as MessageKey);
    return t(this.status >= 500 ? 'problems.server' : 'problems.other');
  }

  /** Worth trying again with nothing changed. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 408 || this.status === 423 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

export function networkProblem(): Problem {
  return new Problem('network', 0, t('problems.unreachable'), '', 0);
}

/** Reads a problem document, or makes the best of an answer that is none (a proxy's, say). */
export function problemFrom(status: number, body: unknown, header: (name: string) => string | null | undefined): Problem {
  let document = body as Partial<Document> | undefined;
  if (typeof body === 'string') {
    try {
      document = JSON.parse(body) as Partial<Document>;
    } catch {
      document = undefined;
    }
  }
  const code = typeof document?.type === 'string' ? document.type.replace(/^.*\//, '') : `status-${status}`;
  const message = document?.detail || document?.title || t('problems.status', { status: String(status) });
  const requestId = document?.request_id || header('X-Request-Id') || '';
  return new Problem(code, status, message, requestId, Number(header('Retry-After')) || 0);
}

/** Any error as a problem, so that people are told one thing in one way. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) return networkProblem(); // what fetch throws without an answer
  return new Problem('page', 0, error instanceof Error ? error.message : String(error), '', 0);
}

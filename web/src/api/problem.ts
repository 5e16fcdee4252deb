import { has, t, type MessageKey } from '../messages';
import type { Problem as Document } from './generated';

/** What went wrong, in words for people. Every failed request becomes one. */
export class Problem extends Error {
  constructor(
    /** The last part of the problem's type, `network` where no answer came, `page` where the page itself says no. */
    readonly code: string,
    readonly status: number,
    message: string,
    readonly requestId: string,
    readonly retryAfter: number,
    /** What is wrong with single values, by their names, as the server says it. */
    readonly fields: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.name = 'Problem';
  }

  /** What the person can do about it. */
  get advice(): string {
    if (this.code === 'page') return ''; // its sentence says it
    const key = `advice.${this.code}`;
    if (has(key)) return t(key as MessageKey);
    return t(this.status >= 500 ? 'advice.server' : 'advice.other');
  }

  /** Worth trying again with nothing changed. */
  get temporary(): boolean {
    return this.code === 'network' || this.status === 408 || this.status === 423 || this.status === 425 || this.status === 429 || this.status >= 500;
  }
}

export function networkProblem(): Problem {
  return new Problem('network', 0, t('said.network'), '', 0);
}

/** What the page itself has to say, in a sentence that also says what to do. */
export function pageProblem(sentence: string): Problem {
  return new Problem('page', 0, sentence, '', 0);
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
  const key = `said.${code}`;
  const message = has(key) ? t(key as MessageKey) : capital(document?.detail || document?.title || t('said.status', { status: String(status) }));
  const requestId = document?.request_id || header('X-Request-Id') || '';
  const errors = Array.isArray(document?.errors) ? document.errors : [];
  const fields = Object.fromEntries(errors.map(({ field, reason }) => [field, t('said.field', { reason })]));
  return new Problem(code, status, message, requestId, Number(header('Retry-After')) || 0, fields);
}

/** Any error as a problem, so that people are told one thing in one way. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) return networkProblem(); // what fetch throws without an answer
  return new Problem('unexpected', 0, t('said.unexpected', { message: error instanceof Error ? error.message : String(error) }), '', 0);
}

/** The server names a field first: "password is shorter than 15 characters." */
function capital(sentence: string): string {
  return sentence.charAt(0).toLocaleUpperCase() + sentence.slice(1);
}

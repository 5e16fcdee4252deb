import { reactive, ref } from 'vue';
import { asProblem, type Problem } from '../api/problem';

/** Short messages over the page, and what screen readers are told without anything showing. */

export interface Notice {
  id: number;
  kind: 'done' | 'problem';
  text: string;
  problem: Problem | null;
}

export const notices = reactive<Notice[]>([]);
export const spoken = ref('');
let nextId = 1;

function add(kind: Notice['kind'], text: string, problem: Problem | null): void {
  const id = nextId++;
  notices.push({ id, kind, text, problem });
  if (notices.length > 3) notices.shift();
  // What went wrong stays until it is closed: somebody may want to copy the request id.
  if (kind === 'done') setTimeout(() => dismiss(id), 6000);
}

export function dismiss(id: number): void {
  const at = notices.findIndex((notice) => notice.id === id);
  if (at >= 0) notices.splice(at, 1);
}

export const notify = {
  done: (text: string): void => add('done', text, null),
  problem: (error: unknown): void => {
    const problem = asProblem(error);
    if (problem.code === 'enrol-first') return; // a page of its own says it
    add('problem', problem.message, problem);
  },
  announce: (text: string): void => {
    spoken.value = '';
    setTimeout(() => (spoken.value = text), 50);
  },
};

import { reactive, watch } from 'vue';
import { quantumSession, type QuantumSession, type Result } from '../api/quantum';

/** The results of sessions in a list, which does not have them. They are fetched one after another, each once: a session that has ended stays as it is. */
export function useResults(sessions: () => QuantumSession[]): Map<string, Result> {
  const results = reactive(new Map<string, Result>()) as Map<string, Result>;
  const tried = new Set<string>();
  let busy = false;

  async function fetchMissing(): Promise<void> {
    if (busy) return;
    busy = true;
    try {
      for (let next; (next = sessions().find((session) => (session.state === 'done' || session.state === 'aborted') && !tried.has(session.id))); ) {
        tried.add(next.id);
        const { result } = await quantumSession(next.id);
        if (result) results.set(next.id, result);
      }
    } catch {
      // The list is of use without these numbers, and a session's own page says what is wrong.
    } finally {
      busy = false;
    }
  }
  watch(sessions, () => void fetchMissing(), { immediate: true });
  return results;
}

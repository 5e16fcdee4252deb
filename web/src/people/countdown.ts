import { computed, onBeforeUnmount, ref, type ComputedRef } from 'vue';

export interface Countdown {
  /** Whole seconds that are left; 0 when it is over. */
  left: ComputedRef<number>;
  start: (seconds: number) => void;
  stop: () => void;
}

/** Counts the seconds until something may be tried again. A window that slept is not behind. */
export function useCountdown(): Countdown {
  const until = ref(0);
  const now = ref(Date.now());
  const left = computed(() => Math.max(0, Math.ceil((until.value - now.value) / 1000)));
  let timer: ReturnType<typeof setInterval> | undefined;

  function stop(): void {
    clearInterval(timer);
    until.value = 0;
  }
  function start(seconds: number): void {
    clearInterval(timer);
    now.value = Date.now();
    until.value = now.value + seconds * 1000;
    timer = setInterval(() => {
      now.value = Date.now();
      if (left.value === 0) stop();
    }, 250);
  }
  onBeforeUnmount(stop);
  return { left, start, stop };
}

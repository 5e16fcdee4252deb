import { onBeforeUnmount, onMounted, ref, type Ref } from 'vue';

/** How wide an element is, in pixels, for drawings whose letters must not shrink with it. */
export function useWidth(element: Readonly<Ref<HTMLElement | null>>): Ref<number> {
  const width = ref(0);
  const observer = new ResizeObserver(([entry]) => (width.value = Math.floor(entry!.contentRect.width)));
  onMounted(() => element.value && observer.observe(element.value));
  onBeforeUnmount(() => observer.disconnect());
  return width;
}

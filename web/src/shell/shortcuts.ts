import { onBeforeUnmount, onMounted } from 'vue';

/** Single keys that do something anywhere on a page, but not while somebody types or a dialog or menu is open. */
export function onShortcut(key: string, call: () => void): void {
  function pressed(event: KeyboardEvent): void {
    if (event.key !== key || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = event.target as HTMLElement;
    if (at.closest('input:not([type="checkbox"]), textarea, select, dialog, [role="menu"]') || document.querySelector('dialog:modal, :popover-open')) return;
    event.preventDefault();
    call();
  }
  onMounted(() => addEventListener('keydown', pressed));
  onBeforeUnmount(() => removeEventListener('keydown', pressed));
}

import { ref } from 'vue';

export type Theme = 'system' | 'light' | 'dark';
const key = 'stonevault.theme';

/** public/theme.js applies the choice before the first paint; here it is changed. */
export const theme = ref<Theme>((document.documentElement.dataset.theme as Theme | undefined) ?? 'system');

export function chooseTheme(choice: Theme): void {
  theme.value = choice;
  if (choice === 'system') {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(key);
  } else {
    document.documentElement.dataset.theme = choice;
    localStorage.setItem(key, choice);
  }
}

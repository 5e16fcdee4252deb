import vue from '@vitejs/plugin-vue';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [vue()],
  build: {
    target: 'es2022',
    // The page's policy allows no data: address and no inline script, so nothing is put inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    emptyOutDir: true, // public/.gitkeep puts dist/.gitkeep back, which go:embed needs in a fresh clone
  },
  css: {
    preprocessorOptions: {
      // Bootstrap 5.3 is written for the Sass of its day.
      scss: { silenceDeprecations: ['import', 'global-builtin', 'color-functions', 'if-function'], quietDeps: true },
    },
  },
  server: {
    proxy: { '/api': { target: process.env.STONEVAULT_URL ?? 'http://127.0.0.1:8080' } },
  },
  define: {
    __VUE_OPTIONS_API__: 'false',
    __VUE_PROD_DEVTOOLS__: 'false',
  },
});

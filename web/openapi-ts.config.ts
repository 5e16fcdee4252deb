import { defineConfig } from '@hey-api/openapi-ts';

// What is generated is not committed: it is made from the description by every build.
export default defineConfig({
  input: '../api/openapi.json',
  output: 'src/api/generated',
  plugins: [
    '@hey-api/client-fetch',
    { name: '@hey-api/typescript', enums: false },
    { name: '@hey-api/sdk', asClass: false },
  ],
  logs: { level: 'warn' },
});

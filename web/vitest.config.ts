import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts'] } },
      {
        test: {
          name: 'e2e',
          include: ['test/**/*.e2e.ts'],
          globalSetup: ['test/built.ts'],
          poolOptions: { forks: { singleFork: true } },
          // A browser, a server and what else the machine does: what fails is run once more, and the report says so.
          retry: 1,
          testTimeout: 240_000,
          hookTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'screenshots',
          include: ['test/screenshots.ts'],
          globalSetup: ['test/built.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

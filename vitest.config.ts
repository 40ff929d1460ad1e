import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    // Generous: a test that hangs must end, but a slow machine must not fail one.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

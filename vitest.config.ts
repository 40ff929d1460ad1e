import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    maxWorkers: 2,
    // Nodes of different tests must not find each other: here for programs that tests start, test/node/support for nodes of their own.
    env: { MACULA_DISCOVERY_MDNS: "false" },
    // Generous: a test that hangs must end, but a slow machine must not fail one.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

import { expect, test } from "vitest";
import { fuzz } from "../../fuzz/wire.ts";

test("two seconds of damaged streams: typed errors only, memory bounded (longer: npm run fuzz)", () => {
  expect(fuzz(2, 1)).toBeGreaterThan(100);
});

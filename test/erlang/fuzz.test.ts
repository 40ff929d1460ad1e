import { expect, test } from "vitest";
import { fuzz } from "../../fuzz/erlang.ts";

test("two seconds of damaged packets: typed errors only (longer: npm run fuzz)", () => {
  expect(fuzz(2, 1)).toBeGreaterThan(100);
});

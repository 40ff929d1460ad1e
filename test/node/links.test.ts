import { describe, expect, test } from "vitest";
import { LinkNode } from "./support/link-node.ts";

describe("DESIGN §5: links on real sockets", () => {
  test("a dialled node gets what was sent before, and answers", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    await using bob = await LinkNode.start({ name: "bob" });
    alice.sendTo(bob, "early");
    await alice.links.connect(bob.name);
    expect(alice.links.connected()).toEqual([bob.name]);
    alice.sendTo(bob, "late");
    await bob.until(() => bob.messages().length === 2);
    expect(bob.messages()).toEqual(["early", "late"]);
    bob.sendTo(alice, new Uint8Array([1, 2, 3]));
    await alice.until(() => alice.messages().length === 1);
    expect(alice.messages()).toEqual([new Uint8Array([1, 2, 3])]);
    expect(alice.deliveries.filter((each) => each.type === "nodeUp")).toEqual([
      { type: "nodeUp", node: bob.name, creation: 1 },
    ]);
    expect(await alice.links.ping(bob.name)).toBeGreaterThan(0);
  });

  test("nobody listens: REFUSED, and nodeDown for those who wait", async () => {
    await using alice = await LinkNode.start({ name: "alice" });
    const bob = await LinkNode.start({ name: "bob" });
    await bob[Symbol.asyncDispose]();
    alice.sendTo(bob, "lost");
    await expect(alice.links.connect(bob.name)).rejects.toMatchObject({ code: "REFUSED" });
    expect(alice.count("nodeDown")).toBe(1);
  });
});

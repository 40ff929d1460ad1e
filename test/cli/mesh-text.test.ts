import { describe, expect, test } from "vitest";
import { changeText, membersText, routesText, traceText } from "../../src/node/admin/mesh-text.ts";
import type { ListedMember } from "../../src/node/admin/protocol.ts";

const nodeId = "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst";

function member(name: string, given: Partial<ListedMember> = {}): ListedMember {
  return { name, nodeId, state: "alive", address: "host:1", incarnation: 0, metadata: "", ...given };
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("members", () => {
  test("alive, suspect, dead, left, and by name as people count", () => {
    const members = [
      member("b@host:1", { state: "left" }),
      member("n10@host:1"),
      member("a@host:1", { state: "dead" }),
      member("n9@host:1", { incarnation: 7, metadata: base64("a printer") }),
      member("c@host:1", { state: "suspect" }),
    ];
    expect(membersText(members, "n10@host:1")).toBe(
      [
        "   name        state    address  incarnation  id            metadata",
        "   n9@host:1   alive    host:1   7            abcdefghijkl  a printer",
        "*  n10@host:1  alive    host:1   0            abcdefghijkl",
        "   c@host:1    suspect  host:1   0            abcdefghijkl",
        "   a@host:1    dead     host:1   0            abcdefghijkl",
        "   b@host:1    left     host:1   0            abcdefghijkl",
        "5 members: 2 alive, 1 suspect, 1 dead, 1 left",
      ].join("\n"),
    );
  });

  test("threat: what others say of themselves does not command the terminal", () => {
    const evil = "\u001B]0;owned\u0007\u202E\r\n";
    const text = membersText(
      [member(`a${evil}@host:1`, { address: evil, metadata: base64(evil) })],
      "b@host:1",
    );
    expect(text.split("\n")).toHaveLength(3);
    for (const character of evil.trim()) {
      if (!/[\w\];]/.test(character)) expect(text).not.toContain(character);
    }
    expect(text).toContain("(15 bytes)");
    expect(changeText(evil, undefined, "alive")).toBe("?]0;owned???? is alive");
  });

  test("metadata: text is cut, and what is none is counted", () => {
    const shown = (metadata: string): string | undefined =>
      membersText([member("a@host:1", { metadata })], "")
        .split("\n")[1]
        ?.split(/ {2,}/)
        .at(-1);
    expect(shown(base64("ä".repeat(40)))).toBe("ä".repeat(40));
    expect(shown(base64("ä".repeat(41)))).toBe(`${"ä".repeat(39)}…`);
    expect(shown(Buffer.from([0xff, 0xfe]).toString("base64"))).toBe("(2 bytes)");
  });
});

test("routes: links first, then the way to each member", () => {
  const route = { nodeId, use: null, rttMs: null, nextHop: null };
  const routes = [
    { ...route, node: "far@host:1", way: "mesh" as const, nextHop: "near@host:1" },
    { ...route, node: "lost@host:1", way: "none" as const },
    {
      ...route,
      node: "near@host:1",
      way: "link" as const,
      nextHop: "near@host:1",
      use: "guest" as const,
      rttMs: 0.456,
    },
  ];
  expect(routesText(routes, "me@host:1")).toBe(
    [
      "link with    use    round trip",
      "near@host:1  guest  0.46 ms",
      "",
      "member       way   next hop",
      "far@host:1   mesh  near@host:1",
      "lost@host:1  none",
      "near@host:1  link",
      "1 link, 3 living members besides me@host:1",
    ].join("\n"),
  );
  expect(routesText([], "me@host:1")).toBe("me@host:1 knows no other living member");
});

test("a trace: a hop that is no member here, and one that gave no answer", () => {
  const hops = [
    { node: "me@host:1", nodeId, rttMs: 0 },
    { node: null, nodeId: null, rttMs: null },
    { node: "far@host:1", nodeId, rttMs: 12.3 },
  ];
  expect(traceText({ hops, rttMs: 12.3 })).toBe(
    [
      "hop  node              id            round trip",
      "0    me@host:1         abcdefghijkl  this node",
      "1    (no member here)                no answer",
      "2    far@host:1        abcdefghijkl  12.30 ms",
      "2 hops, 12.30 ms there and back",
    ].join("\n"),
  );
});

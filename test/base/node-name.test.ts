import { describe, expect, test } from "vitest";
import { formatNodeName, parseNodeName } from "../../src/base/node-name.ts";

describe("name@host:port", () => {
  test.each([
    ["node1@localhost:4434", "node1", "localhost", 4434, "node1@localhost:4434"],
    ["node1@localhost", "node1", "localhost", 4433, "node1@localhost:4433"],
    ["a.b-c_d@example.com:1", "a.b-c_d", "example.com", 1, "a.b-c_d@example.com:1"],
    ["a@127.0.0.1:65535", "a", "127.0.0.1", 65_535, "a@127.0.0.1:65535"],
    ["a@[::1]:4434", "a", "::1", 4434, "a@[::1]:4434"],
    ["a@[fe80::1]", "a", "fe80::1", 4433, "a@[fe80::1]:4433"],
    ["a@h:04434", "a", "h", 4434, "a@h:4434"],
  ])("%s", (text, name, host, port, whole) => {
    expect(parseNodeName(text)).toEqual({ name, host, port });
    expect(formatNodeName({ name, host, port })).toBe(whole);
    expect(parseNodeName(whole)).toEqual({ name, host, port });
  });

  test.each([
    "",
    "node1",
    "@host",
    "a@",
    "a@h:",
    "a@h:65536",
    "a@h:123456",
    "a@h:-1",
    "a@h:4434 ",
    "a@h:4434\n",
    "a b@h",
    "-a@h",
    "a@-h",
    "a@::1",
    "a@[::1",
    "a@[]",
    "a@[h]:1",
    "a@b@c",
    "ä@h",
    "a@h/x",
  ])("%j is none", (text) => {
    expect(() => parseNodeName(text)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
  });

  test("the whole of it fits an atom, which holds 255 characters", () => {
    const longest = `${"a".repeat(248)}@h`;
    expect(formatNodeName(parseNodeName(longest))).toHaveLength(255);
    expect(() => parseNodeName(`a${longest}`)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
  });
});

import { expect, test } from "vitest";
import { beamAddress } from "../../src/carrier/index.ts";

test.each([
  ["node1@localhost:4433", "localhost", 4433],
  ["node1@localhost", "localhost", 4433],
  ["my-app_2@host.example.org:1", "host.example.org", 1],
  ["a@[::1]:65535", "::1", 65_535],
  ["a@[fe80::1]", "fe80::1", 4433],
  ["a@::1", "::1", 4433],
  ["é@localhost:4434", "localhost", 4434],
])("%s is found at %s port %i", (name, host, port) => {
  expect(beamAddress(name)).toEqual({ host, port });
});

test.each([
  "",
  "node1",
  "@localhost",
  "node1@",
  "a@b@c",
  "a b@localhost",
  "a@local host",
  "a@localhost:",
  "a@localhost:0",
  "a@localhost:65536",
  "a@localhost:http",
  "a@[::1]:x",
  "a@[localhost]:1",
  "a\n@localhost",
  `${"a".repeat(251)}@host`,
])("%j is no node name", (name) => {
  expect(() => beamAddress(name)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
});

import { expect, test } from "vitest";
import { parseBootstrapAddress, parseDnsDomain } from "../../src/node/discovery/addresses.ts";

test.each([
  ["node1@localhost:4433", { host: "localhost", port: 4433, name: "node1@localhost:4433" }],
  ["node1@localhost", { host: "localhost", port: 4433, name: "node1@localhost:4433" }],
  ["node1@[::1]:5", { host: "::1", port: 5, name: "node1@[::1]:5" }],
  ["example.org:5", { host: "example.org", port: 5, name: undefined }],
  ["192.0.2.1", { host: "192.0.2.1", port: 4433, name: undefined }],
  ["[2001:db8::1]:5", { host: "2001:db8::1", port: 5, name: undefined }],
])("the bootstrap address %s", (text, expected) => {
  expect(parseBootstrapAddress(text)).toEqual(expected);
});

test.each(["", "@", "a@b@c", "host:", "host:0", "host:65536", "::1", "a b", "node@host:0", "x\n:5"])(
  "%j is no bootstrap address",
  (text) => {
    expect(() => parseBootstrapAddress(text)).toThrow(expect.objectContaining({ code: "CONFIGURATION" }));
  },
);

test.each(["localhost", "example.org", "example.org.", "_x.example.org", "xn--bcher-kva.example"])(
  "the domain %s",
  (text) => {
    expect(parseDnsDomain(text)).toBe(text);
  },
);

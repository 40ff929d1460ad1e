import type { NetworkInterfaceInfo } from "node:os";
import { expect, test } from "vitest";
import { linksMax, linksOf } from "../../src/io/mdns/links.ts";

function info(cidr: string, internal = false): NetworkInterfaceInfo {
  const [address = ""] = cidr.split("/");
  const common = { address, netmask: "", mac: "", internal, cidr };
  return address.includes(":") ? { ...common, family: "IPv6", scopeid: 0 } : { ...common, family: "IPv4" };
}

const lo = [info("127.0.0.1/8", true), info("::1/128", true)];
const eth0 = [info("192.0.2.2/24"), info("2001:db8::2/64"), info("fe80::2/64")];

test("one link for each family, with the addresses of both; the loopback interface with IPv4 only", () => {
  expect(linksOf({ lo, eth0 }, "::")).toMatchObject([
    { family: "IPv4", interface: "127.0.0.1", addresses: ["127.0.0.1", "::1"] },
    { family: "IPv4", interface: "192.0.2.2", addresses: ["192.0.2.2", "2001:db8::2"] },
    { family: "IPv6", interface: "::%eth0", addresses: ["192.0.2.2", "2001:db8::2"] },
  ]);
});

test.each([
  ["0.0.0.0", [["127.0.0.1"], ["192.0.2.2"], ["192.0.2.2"]]],
  ["127.0.0.1", [["127.0.0.1"]]],
  ["2001:db8::2", [["2001:db8::2"], ["2001:db8::2"]]],
  ["198.51.100.1", []],
])("a node that listens on %s is known only where it can be reached", (host, expected) => {
  expect(linksOf({ lo, eth0 }, host).map(({ addresses }) => addresses)).toEqual(expected);
});

test("an interface with nothing but a link-local address has no link: nobody could dial it", () => {
  expect(linksOf({ veth1: [info("fe80::3/64")] }, "::")).toEqual([]);
});

test("a link knows what was sent on it (RFC 6762 §11)", () => {
  const [link] = linksOf({ eth0 }, "::");
  for (const near of ["192.0.2.200", "2001:db8::ff", "fe80::1%eth0"]) expect(link?.contains(near)).toBe(true);
  for (const far of [
    "192.0.3.1",
    "127.0.0.1",
    "2001:db9::1",
    "::1",
    "fe80::1%eth1",
    "fe80::1",
    "nonsense",
    "",
  ]) {
    expect(link?.contains(far), far).toBe(false);
  }
});

test("a changed address is another link", () => {
  const keys = (address: string) => linksOf({ eth0: [info(address)] }, "::").map(({ key }) => key);
  expect(keys("192.0.2.2/24")).not.toEqual(keys("192.0.2.3/24"));
});

test(`a machine with very many interfaces has ${linksMax} links`, () => {
  const many = Object.fromEntries(
    Array.from({ length: 100 }, (_, index) => [`br${index}`, [info(`10.0.${index}.1/24`)]]),
  );
  expect(linksOf(many, "::")).toHaveLength(linksMax);
});

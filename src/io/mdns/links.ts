import { BlockList, isIPv4, isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";

/** What `os.networkInterfaces` tells. */
export type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>;

/** Sockets, at the most: a machine with many containers has an interface for each. */
export const linksMax = 16;

/** One network interface as one of the two families of addresses sees it: a socket is opened for each. */
export interface Link {
  /** Tells it from all others of this machine. */
  readonly key: string;
  readonly family: "IPv4" | "IPv6";
  /** How the system is told which interface is meant. */
  readonly interface: string;
  /** Addresses of both families by which this node is reached from there. */
  readonly addresses: readonly string[];
  /** Whether an address of a packet's sender is one of this link. */
  contains(address: string): boolean;
}

/**
 * The links of a node that listens on the address `host`: none where nobody could reach it. Of loopback interfaces only
 * that of IPv4, by which nodes of a machine without a network find each other.
 */
export function linksOf(interfaces: Interfaces, host: string): Link[] {
  const links = Object.entries(interfaces).flatMap(([name, infos = []]) =>
    linksOfInterface(name, infos, host),
  );
  return links.slice(0, linksMax);
}

function linksOfInterface(name: string, infos: readonly NetworkInterfaceInfo[], host: string): Link[] {
  const addresses = infos
    .map(({ address }) => address)
    // A link-local IPv6 address means nothing without the name that the receiver has for the link.
    .filter((address) => !isLinkLocal(address) && isListenedOn(address, host));
  if (addresses.length === 0) return [];
  const contains = senderCheck(name, infos);
  const links: Link[] = [];
  const ipv4 = infos.find(({ family }) => family === "IPv4");
  if (ipv4 !== undefined) {
    const key = `${name} IPv4 ${ipv4.address} ${addresses.join()}`;
    links.push({ key, family: "IPv4", interface: ipv4.address, addresses, contains });
  }
  if (infos.some(({ family, internal }) => family === "IPv6" && !internal)) {
    const key = `${name} IPv6 ${addresses.join()}`;
    links.push({ key, family: "IPv6", interface: `::%${name}`, addresses, contains });
  }
  return links;
}

function isListenedOn(address: string, host: string): boolean {
  if (host === "::") return true;
  return host === "0.0.0.0" ? isIPv4(address) : address === host;
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address);
}

/**
 * Multicast DNS is for one link: what comes from elsewhere is not taken (RFC 6762 §11), so that nobody far away can tell us
 * addresses, or make us answer to those of others. It also tells the sockets of two links apart, which on Linux both
 * hear what comes for either.
 */
function senderCheck(name: string, infos: readonly NetworkInterfaceInfo[]): (address: string) => boolean {
  const subnets = new BlockList();
  for (const { cidr, family } of infos) {
    const [network, prefix] = cidr?.split("/") ?? [];
    if (network === undefined || prefix === undefined || isLinkLocal(network)) continue;
    subnets.addSubnet(network, Number(prefix), family === "IPv4" ? "ipv4" : "ipv6");
  }
  return (address) => {
    if (isLinkLocal(address)) return address.endsWith(`%${name}`);
    if (isIPv4(address)) return subnets.check(address, "ipv4");
    return isIPv6(address) && subnets.check(address, "ipv6");
  };
}

import { MeshError } from "../../base/errors.ts";
import { defaultPort, formatNodeName, parseNodeName } from "../../base/node-name.ts";

/** Bootstrap addresses, at the most: each is tried for ever, and a few that run are enough. */
export const bootstrapAddressesMax = 64;

/** Where a node may be found. */
export interface BootstrapAddress {
  readonly host: string;
  readonly port: number;
  /** The node that should be there, in full; without it any node of the realm will do. */
  readonly name: string | undefined;
}

/**
 * `name@host:port` or `host:port`; without a port it means 4433, an IPv6 address is in brackets.
 * @throws MeshError `CONFIGURATION` when it is neither.
 */
export function parseBootstrapAddress(text: string): BootstrapAddress {
  const isName = text.includes("@");
  try {
    const parsed = parseNodeName(isName ? text : `any@${text}`);
    if (parsed.port > 0) {
      return { host: parsed.host, port: parsed.port, name: isName ? formatNodeName(parsed) : undefined };
    }
  } catch {
    // What is wrong is said in the words of this setting.
  }
  throw new MeshError(
    "CONFIGURATION",
    `${JSON.stringify(text)} is not where a node is found: name@host:port or host:port (without a port ${defaultPort})`,
  );
}

const label = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
const domainPattern = new RegExp(`^${label}(?:\\.${label})*\\.?$`);

/** A name has 253 characters at the most, and `_macula._udp.` comes before this one. */
const domainLengthMax = 253 - "_macula._udp.".length;

/** @throws MeshError `CONFIGURATION` when `text` is not a domain name. */
export function parseDnsDomain(text: string): string {
  if (text.length <= domainLengthMax && domainPattern.test(text)) return text;
  throw new MeshError(
    "CONFIGURATION",
    `${JSON.stringify(text.slice(0, 100))} is not a domain name, as in example.org`,
  );
}

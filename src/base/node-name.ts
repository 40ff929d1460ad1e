import { MeshError } from "./errors.ts";

/** `name@host:port`; without a port it means 4433. */
export interface NodeName {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

export const defaultPort = 4433;

const pattern =
  /^([A-Za-z0-9_][A-Za-z0-9_.-]*)@(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)(?::(\d{1,5}))?$/;

/**
 * The parts of a node name; `host` without the brackets of an IPv6 address.
 * @throws MeshError `CONFIGURATION` when it is not one.
 */
export function parseNodeName(text: string): NodeName {
  const [, name, host, port] = pattern.exec(text) ?? [];
  const parsed = {
    name: name ?? "",
    host: (host ?? "").replace(/^\[|\]$/g, ""),
    port: port === undefined ? defaultPort : Number(port),
  };
  // An atom holds 255 characters at the most, and the name travels as one, with its port.
  if (name === undefined || parsed.port > 65_535 || formatNodeName(parsed).length > 255) {
    throw new MeshError(
      "CONFIGURATION",
      `${JSON.stringify(text)} is not a node name: name@host:port, as in node1@localhost:4433`,
    );
  }
  return parsed;
}

/** The whole of a node name, port always included. */
export function formatNodeName({ name, host, port }: NodeName): string {
  return `${name}@${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Names looked up lately, since a program sends to the same few nodes again and again. */
const known = new Map<string, string>();
const knownMax = 4_096;

/**
 * The one form of a node name, with its port: `node1@localhost` becomes `node1@localhost:4433`.
 * @throws MeshError `CONFIGURATION` when it is not one.
 */
export function canonicalNodeName(text: string): string {
  const found = known.get(text);
  if (found !== undefined) return found;
  const canonical = formatNodeName(parseNodeName(text));
  if (known.size >= knownMax) known.clear();
  known.set(text, canonical);
  return canonical;
}

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
  const number = port === undefined ? defaultPort : Number(port);
  // An atom holds 255 characters at the most, and the name travels as one.
  if (name === undefined || host === undefined || number > 65_535 || text.length > 255) {
    throw new MeshError(
      "CONFIGURATION",
      `${JSON.stringify(text)} is not a node name: name@host:port, as in node1@localhost:4433`,
    );
  }
  return { name, host: host.replace(/^\[|\]$/g, ""), port: number };
}

/** The whole of a node name, port always included. */
export function formatNodeName({ name, host, port }: NodeName): string {
  return `${name}@${host.includes(":") ? `[${host}]` : host}:${port}`;
}

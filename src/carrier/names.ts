import { MeshError } from "../base/errors.ts";
import { defaultPort } from "../base/node-name.ts";

/** Where the Macula node is found that a BEAM node belongs to. */
export interface BeamAddress {
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
}

/** An atom has 255 characters at the most, of up to four bytes; Erlang's handshake sends node names in Latin-1. */
export const nodeNameBytesMax = 255;

// Erlang takes more for a name than Macula does (`a-b@host`, letters of Latin-1), but no blanks and no second `@`.
const namePattern = /^[^\s@\p{Cc}]+@([^\s@\p{Cc}]+)$/u;
const hostPattern =
  /^(?:\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?|([^:[\]]+)(?::(\d{1,5}))?|([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*))$/;

/**
 * Where `name@host:port` is found. Without a port it is 4433, also for `name@::1`: an IPv6 address with a port needs brackets.
 * @throws MeshError `CONFIGURATION` when it is no node name, or longer than a BEAM node can have it.
 */
export function beamAddress(name: string): BeamAddress {
  const host = namePattern.exec(name)?.[1];
  const parts = host === undefined ? null : hostPattern.exec(host);
  const port = Number(parts?.[2] ?? parts?.[4] ?? defaultPort);
  if (parts === null || port < 1 || port > 65_535 || name.length > nodeNameBytesMax) {
    throw new MeshError(
      "CONFIGURATION",
      `${JSON.stringify(name.slice(0, nodeNameBytesMax))} is not a node name: name@host:port, as in node1@localhost:4433`,
    );
  }
  return { host: parts[1] ?? parts[3] ?? parts[5] ?? "", port };
}

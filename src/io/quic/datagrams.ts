import { isIPv4, isIPv6 } from "node:net";
import { MeshError } from "../../base/errors.ts";
import type { QuicAddress } from "./connection.ts";

/**
 * Datagrams packed into one buffer, as the engine takes and gives them (`native/src/packet.rs`):
 *
 * length u32 | family u8 (4 or 6) | ecn u8 | port u16 | address 16 bytes | payload; little-endian.
 */
const headBytes = 24;

/** A UDP datagram and the address it comes from or goes to. */
export interface Datagram {
  readonly host: string;
  readonly port: number;
  /** Congestion mark (RFC 3168): 0 to 3. Default 0. */
  readonly ecn?: number;
  readonly bytes: Uint8Array;
}

/** @throws MeshError `CONFIGURATION` when a host is not an IP address. */
export function packDatagrams(datagrams: readonly Datagram[]): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array(datagrams.reduce((sum, { bytes }) => sum + headBytes + bytes.length, 0));
  const view = new DataView(packed.buffer);
  let offset = 0;
  for (const { host, port, ecn, bytes } of datagrams) {
    view.setUint32(offset, bytes.length, true);
    packed[offset + 4] = packAddress(host, packed.subarray(offset + 8, offset + headBytes));
    packed[offset + 5] = ecn ?? 0;
    view.setUint16(offset + 6, port, true);
    packed.set(bytes, offset + headBytes);
    offset += headBytes + bytes.length;
  }
  return packed;
}

/** The datagrams of a packed buffer; their bytes are views into it. */
export function unpackDatagrams(packed: Uint8Array): Datagram[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  const datagrams: Datagram[] = [];
  for (let offset = 0; offset + headBytes <= packed.length; ) {
    const length = view.getUint32(offset, true);
    const start = offset + headBytes;
    datagrams.push({
      host: unpackAddress(view.getUint8(offset + 4), packed.subarray(offset + 8, start)),
      port: view.getUint16(offset + 6, true),
      ecn: view.getUint8(offset + 5),
      bytes: packed.subarray(start, start + length),
    });
    offset = start + length;
  }
  return datagrams;
}

function packAddress(host: string, into: Uint8Array): 4 | 6 {
  if (isIPv4(host)) {
    into.set(host.split(".").map(Number));
    return 4;
  }
  if (!isIPv6(host)) throw new MeshError("CONFIGURATION", `"${host}" is not an IP address`);
  into.set(ipv6Bytes(host));
  return 6;
}

function ipv6Bytes(host: string): Uint8Array {
  // A trailing dotted IPv4 part (RFC 4291 §2.2) is two groups.
  const plain = host.replace(/%.*$/, "").replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.slice(0, 4).map(Number) as [number, number, number, number];
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const left = groups(head);
  const right = tail === undefined ? [] : groups(tail);
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  const all = [...left, ...Array.from({ length: zeros }, () => "0"), ...right];
  return Uint8Array.from(
    all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  );
}

function unpackAddress(family: number, bytes: Uint8Array): string {
  if (family === 4) return bytes.subarray(0, 4).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => {
    return (((bytes[2 * index] as number) << 8) | (bytes[2 * index + 1] as number)).toString(16);
  });
  return compressed(groups);
}

/** RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::". */
function compressed(groups: readonly string[]): string {
  let best = { start: 0, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === "0") end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}

export type DatagramHandler = (from: QuicAddress, bytes: Uint8Array) => void;

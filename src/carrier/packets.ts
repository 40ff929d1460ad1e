import { MeshError } from "../base/errors.ts";

/** The longest packet of the carrier's protocols; the longest that is needed has 519 bytes. */
export const packetBytesMax = 1_024;

const headerBytes = 2;

/**
 * Cuts a byte stream into packets, each with its length u16 before it, as the BEAM's `{packet, 2}` does.
 *
 * Threat: whoever is at the other end may send anything, a byte at a time. No more than one packet is kept.
 */
export class PacketReader {
  #bytes: Uint8Array = new Uint8Array(0);

  /** Takes what has arrived. The bytes are copied. */
  push(chunk: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + chunk.length);
    joined.set(this.#bytes);
    joined.set(chunk, this.#bytes.length);
    this.#bytes = joined;
  }

  /** The next whole packet, without its length. @throws MeshError `LIMIT` when it is longer than any there is. */
  next(): Uint8Array | undefined {
    const bytes = this.#bytes;
    if (bytes.length < headerBytes) return undefined;
    const length = ((bytes[0] as number) << 8) | (bytes[1] as number);
    if (length > packetBytesMax) throw new MeshError("LIMIT", `a packet of ${length} bytes`);
    if (bytes.length < headerBytes + length) return undefined;
    this.#bytes = bytes.subarray(headerBytes + length);
    return bytes.subarray(headerBytes, headerBytes + length);
  }

  /** Bytes after the last packet. */
  get rest(): Uint8Array {
    return this.#bytes;
  }
}

/** `payload` with its length before it. */
export function packet(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(headerBytes + payload.length);
  bytes[0] = payload.length >> 8;
  bytes[1] = payload.length & 0xff;
  bytes.set(payload, headerBytes);
  return bytes;
}

/** Payloads from this on are copied into a buffer of their own, bytes. */
const ownBufferFrom = 4_096;
const slabBytes = 16_384;
let slab = new Uint8Array(0);
let slabUsed = 0;

/**
 * A copy of `payload`. Short ones share slabs, as an array buffer for each would cost more than all the rest of
 * decoding; so a message that waits in a mailbox keeps at most 16 KiB alive.
 */
export function copied(payload: Uint8Array): Uint8Array {
  if (payload.length >= ownBufferFrom) return payload.slice();
  if (slabUsed + payload.length > slab.length) {
    slab = new Uint8Array(slabBytes);
    slabUsed = 0;
  }
  const start = slabUsed;
  slabUsed += payload.length;
  slab.set(payload, start);
  return slab.subarray(start, slabUsed);
}

/** `payload`, copied if it is small beside the buffer that it is a view of: a waiting message would keep that alive. */
export function unpinned(payload: Uint8Array): Uint8Array {
  const pinned = payload.buffer.byteLength > Math.max(slabBytes, 16 * payload.length);
  return pinned ? copied(payload) : payload;
}

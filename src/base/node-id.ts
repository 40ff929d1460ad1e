import { MeshError } from "./errors.ts";
import { base32, base32Bytes } from "./text.ts";

/** SHA-256 of a node's public key (SubjectPublicKeyInfo): 32 bytes as 52 characters of lower-case base32. */
export type NodeId = string & { readonly __brand: "NodeId" };

export const nodeIdBytesLength = 32;

/** @throws MeshError `DECODE` unless there are 32 bytes. */
export function nodeIdFromBytes(bytes: Uint8Array): NodeId {
  if (bytes.length !== nodeIdBytesLength) {
    throw new MeshError("DECODE", `a node id has ${nodeIdBytesLength} bytes, not ${bytes.length}`);
  }
  return base32(bytes) as NodeId;
}

/** @throws MeshError `DECODE` when `text` is not a node id in its canonical form. */
export function parseNodeId(text: string): NodeId {
  return nodeIdFromBytes(base32Bytes(text));
}

export function nodeIdBytes(id: NodeId): Uint8Array<ArrayBuffer> {
  return base32Bytes(id);
}

/*
 * An accusation: one member says that another did not answer it.
 *
 *   subject 32 | incarnation u64, of the subject | accuser 32
 *   | signature 64 by the accuser: over "macula accusation" 00 and all before the signature
 */
import { concat } from "../base/bytes.ts";
import type { CoreCrypto } from "../base/crypto.ts";
import { type NodeId, nodeIdBytes, nodeIdBytesLength, nodeIdFromBytes } from "../base/node-id.ts";
import { Reader } from "../base/reader.ts";
import { utf8 } from "../base/text.ts";
import { Writer } from "../base/writer.ts";
import { readIncarnation, signatureBytes, writeIncarnation } from "./record.ts";

export interface Accusation {
  readonly subject: NodeId;
  /** The record of the subject that it is about: a newer one refutes it. */
  readonly incarnation: number;
  readonly accuser: NodeId;
  /** As it travels. */
  readonly bytes: Uint8Array;
}

const context = utf8("macula accusation\0");
const signedBytes = nodeIdBytesLength + 8 + nodeIdBytesLength;
export const accusationBytes = signedBytes + signatureBytes;

export function signAccusation(
  subject: NodeId,
  incarnation: number,
  accuser: NodeId,
  crypto: CoreCrypto,
): Accusation {
  const writer = new Writer(accusationBytes);
  writer.raw(nodeIdBytes(subject));
  writeIncarnation(writer, incarnation);
  writer.raw(nodeIdBytes(accuser));
  writer.raw(crypto.sign(concat([context, writer.bytes()])));
  return { subject, incarnation, accuser, bytes: writer.take() };
}

/** What it says; whether its accuser really does is for `isSignedBy` to find out. Keeps `bytes`. */
export function readAccusation(bytes: Uint8Array): Accusation | "malformed" {
  if (bytes.length !== accusationBytes) return "malformed";
  const reader = new Reader(bytes);
  const subject = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  const incarnation = readIncarnation(reader);
  const accuser = nodeIdFromBytes(reader.view(nodeIdBytesLength));
  if (!Number.isSafeInteger(incarnation) || subject === accuser) return "malformed";
  return { subject, incarnation, accuser, bytes };
}

export function isSignedBy(accusation: Accusation, publicKey: Uint8Array, crypto: CoreCrypto): boolean {
  const { bytes } = accusation;
  return crypto.verify(
    publicKey,
    concat([context, bytes.subarray(0, signedBytes)]),
    bytes.subarray(signedBytes),
  );
}

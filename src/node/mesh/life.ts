import { MeshError } from "../../base/errors.ts";
import type { MemberView } from "../../swim/index.ts";

/** A member's metadata begin with its life (its creation), before what its program says. */
const lifeBytes = 4;
/** What a program may say of its node. */
const metadataBytesMax = 512;

/** @throws MeshError `CONFIGURATION` when they are too long. */
export function withLife(life: number, metadata: Uint8Array = new Uint8Array(0)): Uint8Array {
  if (metadata.length > metadataBytesMax)
    throw new MeshError(
      "CONFIGURATION",
      `${metadata.length} bytes of metadata: at most ${metadataBytesMax} are allowed`,
    );
  const bytes = new Uint8Array(lifeBytes + metadata.length);
  new DataView(bytes.buffer).setUint32(0, life);
  bytes.set(metadata, lifeBytes);
  return bytes;
}

/** 0 when it does not say. */
export function lifeOf({ metadata }: MemberView): number {
  if (metadata.length < lifeBytes) return 0;
  return new DataView(metadata.buffer, metadata.byteOffset).getUint32(0);
}

/** The member as programs see it. */
export function withoutLife(member: MemberView): MemberView {
  return { ...member, metadata: member.metadata.subarray(lifeBytes) };
}

import { compare } from "../base/bytes.ts";
import { utf8 } from "../base/text.ts";
import type { Admission } from "./handshake.ts";

/** What there is between this node and the one that dials it. */
export type Existing = "nothing" | "dial" | "connection";

/**
 * What to say to a node that dials, as `net_kernel` does. When both dial at once, the dial of the node stays whose name
 * is the greater atom: that node refuses the other's, and the other gives up its own.
 */
export function admissionOf(own: string, peer: string, existing: Existing): Admission {
  if (existing === "nothing") return "ok";
  if (existing === "connection") return "alive";
  return compare(utf8(own), utf8(peer)) > 0 ? "nok" : "ok_simultaneous";
}

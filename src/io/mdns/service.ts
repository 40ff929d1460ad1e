import { isIPv4 } from "node:net";
import type { Answer } from "dns-packet";
import type { NodeId } from "../../base/node-id.ts";
import { base32, utf8 } from "../../base/text.ts";
import { sha256 } from "../crypto.ts";
import type { MdnsPacket } from "./packets.ts";

/** What all nodes of Macula are found under. RFC 6763 §4.1. */
export const serviceName = "_macula._udp.local";
/** Where one asks which services there are. RFC 6763 §9. */
const allServices = "_services._dns-sd._udp.local";

/** How long others may remember our records, seconds. RFC 6762 §10 recommends this for records with an address. */
export const recordTtlSeconds = 120;
/** For who does not speak multicast DNS itself, RFC 6762 §6.7. */
const legacyTtlSeconds = 10;

/** The string of a TXT record, RFC 6763 §6.1. */
const txtStringBytesMax = 255;

/** The node that is made known. */
export interface ServiceOptions {
  /** Name of the node, in full. */
  readonly name: string;
  readonly nodeId: NodeId;
  readonly realm: string;
  /** UDP port on which it listens. */
  readonly port: number;
}

/** What stands for a realm on a network whose other users need not learn its name. */
export function realmHash(realm: string): string {
  return base32(sha256(utf8(`macula realm ${realm}`)));
}

/** Our own records, and whether somebody asks for them. */
export class Service {
  /**
   * The name of the instance: the node's, and enough of its id that no other has the same. So nobody needs to be asked
   * whether it is free (RFC 6762 §8.1).
   */
  readonly instance: string;
  /** A host name of this node alone: `<name of the machine>.local` belongs to the machine's own responder. */
  readonly target: string;
  readonly #port: number;
  readonly #txt: readonly string[];

  constructor({ name, nodeId, realm, port }: ServiceOptions) {
    const id = nodeId.slice(0, 16);
    // A label has 63 bytes at the most, and a dot in it would have to be escaped, which few do right.
    const label = (name.split("@")[0] ?? "").replaceAll(".", "-").slice(0, 46);
    this.instance = `${label}-${id}.${serviceName}`;
    this.target = `macula-${id}.local`;
    this.#port = port;
    this.#txt = ["v=1", `realm=${realmHash(realm)}`, `id=${nodeId}`, `name=${name}`].filter(
      (text) => utf8(text).length <= txtStringBytesMax,
    );
  }

  /** Whether `query` asks for any record of ours that the asker does not know already. */
  isAskedFor({ questions, answers }: MdnsPacket): boolean {
    const own = [this.instance, this.target].map((name) => name.toLowerCase());
    return questions.some(({ name, type }) => {
      const asked = name.toLowerCase();
      if (own.includes(asked)) return true;
      if (type !== "PTR" && (type as string) !== "ANY") return false;
      return (
        asked === allServices || (asked === serviceName && !answers.some((known) => this.#isKnown(known)))
      );
    });
  }

  /** RFC 6762 §7.1: who still remembers our record for half of its time does not need it again. */
  #isKnown(known: Answer): boolean {
    if (known.type !== "PTR" || (known.ttl ?? 0) < recordTtlSeconds / 2) return false;
    return known.data.toLowerCase() === this.instance.toLowerCase();
  }

  /**
   * All our records, whatever was asked: they fit in one small packet. `leaving` makes others forget them.
   * `legacy` for who asked from another port than that of multicast DNS, and takes the answer for an ordinary one.
   */
  records(addresses: readonly string[], form: "multicast" | "legacy" | "leaving" = "multicast"): Answer[] {
    const ttl = form === "leaving" ? 0 : form === "legacy" ? legacyTtlSeconds : recordTtlSeconds;
    // Nobody else has records of these names: what is remembered of them is to be replaced.
    const flush = form !== "legacy";
    const { instance, target } = this;
    const pointers: Answer[] = [{ type: "PTR", name: serviceName, ttl, data: instance }];
    // Other services may be there when we go.
    if (form !== "leaving") pointers.push({ type: "PTR", name: allServices, ttl, data: serviceName });
    return [
      ...pointers,
      { type: "SRV", name: instance, ttl, flush, data: { target, port: this.#port, priority: 0, weight: 0 } },
      { type: "TXT", name: instance, ttl, flush, data: [...this.#txt] },
      ...addresses.map(
        (data): Answer => ({ type: isIPv4(data) ? "A" : "AAAA", name: target, ttl, flush, data }),
      ),
    ];
  }
}

import { concat } from "../base/bytes.ts";
import type { NodeId } from "../base/node-id.ts";
import { nodeIdBytes } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { utf8 } from "../base/text.ts";
import { pointBytes, type SealCrypto, sealTagBytes } from "../routing/index.ts";

/*
 * A datagram between two nodes that have no link, payload of a FORWARD packet of protocol 1:
 *
 *   nonce 12 | sealed: type u8 of a frame, its payload
 *
 * AES-128-GCM. The key is the first 16 bytes of HMAC-SHA-256 over "macula/1.0 datagram" 00, id of the sender, id of the receiver,
 * keyed with the x-coordinate that the keys of the two nodes make (ECDH, P-256). So only these two can make or open it, and a
 * relay can neither read nor alter it. It can play it again: what travels so must not mind.
 */
const nonceBytes = 12;
const keyBytes = 16;
const context = utf8("macula/1.0 datagram\0");

/** Nodes whose keys are kept: agreeing on one takes a tenth of a millisecond. */
const pairsMax = 4_096;

interface Keys {
  readonly sending: Uint8Array;
  readonly receiving: Uint8Array;
}

/** Seals datagrams for other nodes, and opens theirs. */
export class Boxes {
  readonly #self: NodeId;
  readonly #crypto: SealCrypto;
  readonly #random: Random;
  /** SubjectPublicKeyInfo of a node, if it is a member. */
  readonly #publicKeyOf: (id: NodeId) => Uint8Array | undefined;
  readonly #keys = new Map<NodeId, Keys>();

  constructor(
    self: NodeId,
    crypto: SealCrypto,
    random: Random,
    publicKeyOf: (id: NodeId) => Uint8Array | undefined,
  ) {
    this.#self = self;
    this.#crypto = crypto;
    this.#random = random;
    this.#publicKeyOf = publicKeyOf;
  }

  /** `undefined` when the key of `to` is not known. */
  seal(to: NodeId, type: number, payload: Uint8Array): Uint8Array | undefined {
    const keys = this.#keysWith(to);
    if (keys === undefined) return undefined;
    const nonce = this.#random.bytes(nonceBytes);
    const plain = concat([Uint8Array.of(type), payload]);
    return concat([nonce, this.#crypto.encrypt(keys.sending, nonce, new Uint8Array(0), plain)]);
  }

  /** `undefined` when `from` did not seal it for this node. */
  open(from: NodeId, box: Uint8Array): { readonly type: number; readonly payload: Uint8Array } | undefined {
    // Threat: made-up senders, to have us agree on keys. Only members have one here, and each is agreed on once.
    const keys = box.length > nonceBytes + sealTagBytes ? this.#keysWith(from) : undefined;
    if (keys === undefined) return undefined;
    const [nonce, sealed] = [box.subarray(0, nonceBytes), box.subarray(nonceBytes)];
    const plain = this.#crypto.decrypt(keys.receiving, nonce, new Uint8Array(0), sealed);
    return plain === undefined ? undefined : { type: plain[0] as number, payload: plain.subarray(1) };
  }

  #keysWith(peer: NodeId): Keys | undefined {
    const known = this.#keys.get(peer);
    if (known !== undefined) return known;
    const point = this.#publicKeyOf(peer)?.subarray(-pointBytes);
    const secret = point === undefined ? undefined : this.#crypto.agree(point);
    if (secret === undefined) return undefined;
    const keys = {
      sending: this.#key(secret, this.#self, peer),
      receiving: this.#key(secret, peer, this.#self),
    };
    const [oldest] = this.#keys.size >= pairsMax ? this.#keys.keys() : [];
    if (oldest !== undefined) this.#keys.delete(oldest);
    this.#keys.set(peer, keys);
    return keys;
  }

  #key(secret: Uint8Array, from: NodeId, to: NodeId): Uint8Array {
    const info = concat([context, nodeIdBytes(from), nodeIdBytes(to)]);
    return this.#crypto.hmacSha256(secret, info).subarray(0, keyBytes);
  }
}

import { equal } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import type { Machine } from "../base/machine.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { asksForName, flagsFor, missingCapabilities, offeredFlags } from "./flags.ts";
import {
  decodeAck,
  decodeChallenge,
  decodeName,
  decodeReply,
  decodeStatus,
  encodeAck,
  encodeChallenge,
  encodeName,
  encodeNamed,
  encodeReply,
  encodeStatus,
} from "./messages.ts";

/** Who is at the other end. */
export interface ErlangPeer {
  /** As it calls itself. */
  readonly name: string;
  /** Tells this life of the node from others, 32 bits. */
  readonly creation: number;
  readonly flags: bigint;
}

/**
 * What the listener says to a node that introduced itself.
 *
 * - `ok` go on.
 * - `ok_simultaneous` go on; our own dial is given up for this one.
 * - `nok` our own dial stays.
 * - `alive` there is a connection already: is that one dead?
 * - `not_allowed` no.
 */
export type Admission = "ok" | "ok_simultaneous" | "nok" | "alive" | "not_allowed";

export type HandshakeInput =
  /** The dialler begins. */
  | { readonly type: "start" }
  | { readonly type: "packet"; readonly bytes: Uint8Array }
  /** The answer to the output `introduced`. */
  | { readonly type: "admit"; readonly admission: Admission }
  /** The byte stream ended, for this reason if there is one. */
  | { readonly type: "ended"; readonly error: Error | undefined }
  | { readonly type: "tick" };

export type HandshakeOutput =
  | { readonly type: "send"; readonly bytes: Uint8Array }
  /** A dialler says who it is, unproven. To be answered with `admit`. */
  | { readonly type: "introduced"; readonly name: string }
  /** Both sides have proven that they know the cookie. From now on lengths have four bytes. */
  | { readonly type: "complete"; readonly peer: ErlangPeer }
  /** The peer dials, too, and its dial is the one that stays: wait for that. */
  | { readonly type: "superseded" }
  | { readonly type: "fail"; readonly error: MeshError };

export interface HandshakeSetup {
  readonly role: "dialler" | "listener";
  /** This node as the peer is to know it. */
  readonly name: string;
  readonly creation: number;
  /** Whether the name that the peer answers with is the one that was dialled. Only for the dialler. */
  readonly isExpected?: (name: string) => boolean;
  /** Of the cookie and a challenge, 16 bytes: `md5(Cookie ++ integer_to_list(Challenge))`. */
  readonly digest: (challenge: number) => Uint8Array;
  readonly random: Random;
  /** For all of the handshake, milliseconds. */
  readonly timeoutMs: number;
}

type State = "fresh" | "status" | "challenge" | "ack" | "name" | "admission" | "alive" | "reply" | "over";

/** What it means when a peer hangs up in this state: it does not say itself. */
const hangUp: Readonly<Record<State, readonly ["REFUSED" | "INVALID_CHALLENGE" | "CLOSED", string]>> = {
  fresh: ["CLOSED", "before the handshake"],
  status: ["REFUSED", "without an answer: it does not want this node, or is no Erlang node"],
  challenge: ["REFUSED", "after its status: it has given up, or has another connection with this node"],
  ack: ["INVALID_CHALLENGE", "when it saw our proof: its Erlang cookie is another (erlangCookie)"],
  name: ["CLOSED", "without saying who it is"],
  admission: ["CLOSED", "before it was answered"],
  alive: ["CLOSED", "after the status alive"],
  reply: ["REFUSED", "when it saw who we are: it dialled another name, or misses a capability of ours"],
  over: ["CLOSED", "after the handshake"],
};

/**
 * The handshake of the Erlang distribution, version 6 (`kernel/src/dist_util.erl`). Both sides prove that they know the
 * cookie by an MD5 over it and a challenge of the other's; nothing is encrypted, and nothing that follows is signed.
 */
export class ErlangHandshake implements Machine<HandshakeInput, HandshakeOutput> {
  readonly #setup: HandshakeSetup;
  readonly #outputs = new Queue<HandshakeOutput>();
  readonly #due: Instant;
  readonly #ownChallenge: number;
  #state: State = "fresh";
  #peer: ErlangPeer | undefined;

  constructor(setup: HandshakeSetup, now: Instant) {
    this.#setup = setup;
    this.#due = after(now, setup.timeoutMs);
    this.#ownChallenge = setup.random.u32();
    if (setup.role === "listener") this.#state = "name";
  }

  handle(input: HandshakeInput, now: Instant): void {
    if (this.#state === "over") return;
    switch (input.type) {
      case "start": {
        const { name, creation } = this.#setup;
        this.#send(encodeName({ flags: offeredFlags, creation, name }), "status");
        break;
      }
      case "packet":
        try {
          this.#onPacket(input.bytes);
        } catch (error) {
          // The codec throws nothing else.
          this.#fail(error as MeshError);
        }
        break;
      case "admit":
        this.#onAdmit(input.admission);
        break;
      case "ended": {
        const [code, when] = hangUp[this.#state];
        const who = this.#peer?.name ?? "the peer";
        this.#fail(new MeshError(code, `${who} closed the connection ${when}`, { cause: input.error }));
        break;
      }
      case "tick":
        if (now >= this.#due) {
          this.#fail(
            new MeshError("TIMEOUT", `no Erlang handshake within ${this.#setup.timeoutMs} milliseconds`),
          );
        }
        break;
      default:
        input satisfies never;
    }
  }

  poll(): HandshakeOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#state === "over" ? undefined : this.#due;
  }

  #onPacket(packet: Uint8Array): void {
    switch (this.#state) {
      case "name":
        return this.#onName(packet);
      case "alive":
        if (decodeStatus(packet) === "true") return this.#sendChallenge();
        return this.#fail(new MeshError("CLOSED", "the peer has given up its dial"));
      case "reply":
        return this.#onReply(packet);
      case "status":
        return this.#onStatus(packet);
      case "challenge":
        return this.#onChallenge(packet);
      case "ack":
        if (!this.#isProof(decodeAck(packet), this.#ownChallenge)) return this.#refuseProof();
        return this.#complete();
      default:
        throw new MeshError("PROTOCOL", "a handshake message out of turn");
    }
  }

  // --- The listener ---

  #onName(packet: Uint8Array): void {
    const { flags, creation, name } = decodeName(packet);
    if (asksForName(flags)) {
      if (!/^[^@]+$/.test(name)) throw new MeshError("DECODE", "a host without a name was due");
      // OTP draws such names at random, too: 36^13 of them.
      const drawn = this.#setup.random.bytes(13);
      const letters = Array.from(drawn, (byte) => (byte % 36).toString(36).toUpperCase()).join("");
      this.#peer = {
        name: `${letters}@${name}`,
        creation: 1 + this.#setup.random.integer(0xffff_ffff),
        flags,
      };
    } else {
      if (!/^[^@]+@[^@]+$/.test(name)) throw new MeshError("DECODE", `${name} is no node name`);
      this.#peer = { name, creation, flags };
    }
    const missing = missingCapabilities(flags);
    if (missing.length > 0) {
      this.#send(encodeStatus("not_allowed"), "over");
      return this.#lacks(missing);
    }
    this.#state = "admission";
    this.#outputs.push({ type: "introduced", name: this.#peer.name });
  }

  #onAdmit(admission: Admission): void {
    const peer = this.#peer;
    if (this.#state !== "admission" || peer === undefined) return;
    switch (admission) {
      case "ok":
        if (asksForName(peer.flags)) this.#send(encodeNamed(peer.name, peer.creation), "admission");
        else this.#send(encodeStatus("ok"), "admission");
        return this.#sendChallenge();
      case "ok_simultaneous":
        this.#send(encodeStatus("ok_simultaneous"), "admission");
        return this.#sendChallenge();
      case "alive":
        return this.#send(encodeStatus("alive"), "alive");
      case "nok":
        this.#send(encodeStatus("nok"), "over");
        return this.#fail(new MeshError("CLOSED", `our own dial of ${peer.name} goes on`));
      case "not_allowed":
        this.#send(encodeStatus("not_allowed"), "over");
        return this.#fail(new MeshError("REFUSED", `${peer.name} is not wanted here`));
      default:
        return admission satisfies never;
    }
  }

  #sendChallenge(): void {
    const { name, creation } = this.#setup;
    const flags = flagsFor(this.#peer?.flags ?? 0n);
    this.#send(encodeChallenge({ flags, challenge: this.#ownChallenge, creation, name }), "reply");
  }

  #onReply(packet: Uint8Array): void {
    const { challenge, digest } = decodeReply(packet);
    if (!this.#isProof(digest, this.#ownChallenge)) return this.#refuseProof();
    this.#send(encodeAck(this.#setup.digest(challenge)), "reply");
    this.#complete();
  }

  // --- The dialler ---

  #onStatus(packet: Uint8Array): void {
    const status = decodeStatus(packet);
    switch (status) {
      case "ok":
      case "ok_simultaneous":
        this.#state = "challenge";
        return;
      case "alive":
        // We would not dial if we knew of a living connection.
        return this.#send(encodeStatus("true"), "challenge");
      case "nok":
        this.#state = "over";
        this.#outputs.push({ type: "superseded" });
        return;
      case "not_allowed":
        return this.#fail(
          new MeshError(
            "REFUSED",
            "the peer does not allow this node (its -kernel allow list, or capabilities)",
          ),
        );
      default:
        throw new MeshError("PROTOCOL", `the status ${status} out of turn`);
    }
  }

  #onChallenge(packet: Uint8Array): void {
    const { flags, challenge, creation, name } = decodeChallenge(packet);
    if (this.#setup.isExpected?.(name) === false) {
      return this.#fail(new MeshError("WRONG_NODE", `the node there is ${name}`));
    }
    this.#peer = { name, creation, flags };
    const missing = missingCapabilities(flags);
    if (missing.length > 0) return this.#lacks(missing);
    this.#send(encodeReply(this.#ownChallenge, this.#setup.digest(challenge)), "ack");
  }

  // --- Both ---

  /** The digest is no secret: it goes over the wire, and was computed for a challenge that is never used again. */
  #isProof(digest: Uint8Array, challenge: number): boolean {
    return equal(digest, this.#setup.digest(challenge));
  }

  #refuseProof(): void {
    const who = this.#peer?.name ?? "the peer";
    this.#fail(
      new MeshError(
        "INVALID_CHALLENGE",
        `${who} does not know our Erlang cookie (erlangCookie, ~/.erlang.cookie)`,
      ),
    );
  }

  #lacks(missing: readonly string[]): void {
    const who = this.#peer?.name ?? "the peer";
    const what = missing.join(", ");
    this.#state = "reply";
    this.#fail(new MeshError("NO_COMMON_CAPABILITIES", `${who} lacks ${what}: it needs OTP 25 or later`));
  }

  #complete(): void {
    const peer = this.#peer;
    this.#state = "over";
    if (peer !== undefined) this.#outputs.push({ type: "complete", peer });
  }

  #send(bytes: Uint8Array, next: State): void {
    this.#outputs.push({ type: "send", bytes });
    this.#state = next;
  }

  #fail(error: MeshError): void {
    this.#state = "over";
    this.#outputs.push({ type: "fail", error });
  }
}

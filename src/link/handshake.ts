import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";
import { type Ending, endingOf } from "./codes.ts";
import {
  type Answer,
  challengeLength,
  decodeHandshake,
  encodeHandshake,
  type Hello,
  type Introduction,
  type Proof,
  protocolVersion,
  type Role,
  signedBytes,
} from "./messages.ts";

/** Who is at the other end, as far as the engine knows: from the certificate of the TLS handshake. */
export interface AuthenticatedPeer {
  readonly nodeId: NodeId;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

export interface HandshakeSetup {
  readonly role: Role;
  readonly self: { readonly name: string; readonly nodeId: NodeId; readonly creation: number };
  readonly capabilities: readonly string[];
  readonly timeoutMs: number;
  /** The dialler: whom it wants. */
  readonly expectedName?: string;
  readonly random: Random;
  readonly crypto: CoreCrypto;
}

export type HandshakeInput =
  /** The connection can carry bytes (on a dialler with a ticket: early data). */
  | { readonly type: "start" }
  /** The engine completed its handshake: from here on nothing can be a replay. */
  | { readonly type: "established"; readonly peer: AuthenticatedPeer }
  /** Early data was refused: what was said is lost and is said again on a new stream. */
  | { readonly type: "restart" }
  /** Payload of a HANDSHAKE frame. */
  | { readonly type: "message"; readonly payload: Uint8Array }
  /** The pool agrees with the peer that `introduced` named. */
  | { readonly type: "admit" }
  | { readonly type: "tick" };

export type HandshakeOutput =
  /** Payload of a HANDSHAKE frame for the first stream. */
  | { readonly type: "send"; readonly payload: Uint8Array }
  /** The pool must say `admit` or end the connection. `early`: this may be a replay, so it must change nothing yet. */
  | { readonly type: "introduced"; readonly peer: Introduction; readonly early: boolean }
  /** Both sides have proven themselves. */
  | { readonly type: "complete"; readonly peer: Introduction; readonly capabilities: readonly string[] }
  | { readonly type: "fail"; readonly ending: Ending };

type Phase = "idle" | "waiting" | "deciding" | "proving" | "done";

/**
 * The first stream of a connection: hello, answer, proof (`messages.ts`). The dialler is done when it sends its
 * proof, the listener when it has checked it. The pool is asked before a side commits itself: the listener before it
 * answers, the dialler before it proves. So two nodes that dial each other settle on one connection before a lane opens.
 *
 * Threats: a recorded first flight played again (0-RTT) gets at most an answer, and changes nothing; a certificate
 * holder who claims another's node id fails against the engine's; a man in the middle of two TLS sessions has no key
 * for the signature, which covers both challenges, ids, names and the role.
 */
export class Handshake implements Machine<HandshakeInput, HandshakeOutput> {
  readonly #setup: HandshakeSetup;
  readonly #outputs = new Queue<HandshakeOutput>();
  readonly #challenge: Uint8Array;
  readonly #due: Instant;
  #phase: Phase = "idle";
  #peer: AuthenticatedPeer | undefined;
  #hello: Hello | undefined;
  #answer: Answer | undefined;
  #capabilities: readonly string[] = [];
  /** A message that needs the peer's certificate and came before it. */
  #early: Answer | Proof | undefined;

  constructor(setup: HandshakeSetup, now: Instant) {
    this.#setup = setup;
    this.#challenge = setup.random.bytes(challengeLength);
    this.#due = after(now, setup.timeoutMs);
  }

  handle(input: HandshakeInput, now: Instant): void {
    if (this.#phase === "done") return;
    try {
      this.#react(input, now);
    } catch (error) {
      this.#fail(endingOf(error));
    }
  }

  poll(): HandshakeOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#phase === "done" ? undefined : this.#due;
  }

  #react(input: HandshakeInput, now: Instant): void {
    switch (input.type) {
      case "start":
        this.#onStart();
        break;
      case "established":
        this.#onEstablished(input.peer);
        break;
      case "restart":
        if (this.#setup.role === "dialler" && this.#phase === "waiting") this.#sayHello();
        break;
      case "message":
        this.#onMessage(input.payload);
        break;
      case "admit":
        this.#onAdmit();
        break;
      case "tick":
        if (now >= this.#due) {
          this.#fail({ code: "timeout", reason: `no handshake within ${this.#setup.timeoutMs} ms` });
        }
        break;
      default:
        input satisfies never;
    }
  }

  #onStart(): void {
    if (this.#phase !== "idle") return;
    this.#phase = "waiting";
    if (this.#setup.role === "dialler") this.#sayHello();
  }

  #onEstablished(peer: AuthenticatedPeer): void {
    this.#peer = peer;
    if (this.#hello !== undefined && this.#setup.role === "listener" && !this.#checkId(this.#hello)) return;
    const early = this.#early;
    this.#early = undefined;
    if (early?.kind === "answer") this.#onAnswer(early);
    else if (early?.kind === "proof") this.#onProof(early);
  }

  #onMessage(payload: Uint8Array): void {
    const message = decodeHandshake(payload);
    const expected =
      this.#setup.role === "dialler" ? "answer" : this.#hello === undefined ? "hello" : "proof";
    const timely = message.kind === "proof" ? this.#phase === "proving" : this.#phase === "waiting";
    if (message.kind !== expected || !timely || this.#early !== undefined) {
      throw new MeshError("PROTOCOL", `handshake message ${message.kind} out of turn`);
    }
    if (message.kind === "hello") this.#onHello(message);
    else if (this.#peer === undefined) this.#early = message;
    else if (message.kind === "answer") this.#onAnswer(message);
    else this.#onProof(message);
  }

  /** Listener: the dialler introduces itself. */
  #onHello(hello: Hello): void {
    if (!hello.versions.includes(protocolVersion)) {
      this.#fail({
        code: "version_mismatch",
        reason: `${hello.name} speaks versions ${hello.versions.join(", ")}, this node ${protocolVersion}`,
      });
      return;
    }
    if (!this.#agree(hello)) return;
    this.#hello = hello;
    if (this.#peer !== undefined && !this.#checkId(hello)) return;
    this.#phase = "deciding";
    this.#outputs.push({ type: "introduced", peer: hello, early: this.#peer === undefined });
  }

  /** Dialler: the listener introduces and proves itself. */
  #onAnswer(answer: Answer): void {
    const { expectedName, self } = this.#setup;
    const hello = this.#hello;
    if (hello === undefined) throw new MeshError("PROTOCOL", "an answer before the hello");
    if (answer.version !== protocolVersion) {
      this.#fail({
        code: "version_mismatch",
        reason: `${answer.name} answered with version ${answer.version}`,
      });
      return;
    }
    if (!this.#agree(answer) || !this.#checkId(answer)) return;
    if (answer.nodeId === self.nodeId) {
      this.#fail({
        code: "wrong_node",
        reason: `${expectedName ?? answer.name} is this node itself`,
        found: answer.name,
      });
      return;
    }
    if (!this.#verify("listener", answer.signature, hello, answer)) return;
    if (expectedName !== undefined && answer.name !== expectedName) {
      // Only now: who answers has proven its name, so the message can be believed.
      this.#fail({
        code: "wrong_node",
        reason: `${expectedName} was dialled, ${answer.name} answered`,
        found: answer.name,
      });
      return;
    }
    this.#answer = answer;
    this.#phase = "deciding";
    this.#outputs.push({ type: "introduced", peer: answer, early: false });
  }

  #onAdmit(): void {
    if (this.#phase !== "deciding") return;
    const { hello, answer } = { hello: this.#hello, answer: this.#answer };
    if (hello === undefined) return;
    if (this.#setup.role === "listener") {
      const unsigned = { kind: "answer", version: protocolVersion, ...this.#introduction() } as const;
      const signature = this.#setup.crypto.sign(signedBytes("listener", { hello, answer: unsigned }));
      this.#answer = { ...unsigned, signature };
      this.#send(this.#answer);
      this.#phase = "proving";
    } else if (answer !== undefined) {
      const signature = this.#setup.crypto.sign(signedBytes("dialler", { hello, answer }));
      this.#send({ kind: "proof", signature });
      this.#complete(answer);
    }
  }

  /** Listener: the dialler proves itself. */
  #onProof(proof: Proof): void {
    const { hello, answer } = { hello: this.#hello, answer: this.#answer };
    if (hello === undefined || answer === undefined)
      throw new MeshError("PROTOCOL", "a proof before the hello");
    if (this.#verify("dialler", proof.signature, hello, answer)) this.#complete(hello);
  }

  #sayHello(): void {
    this.#hello = { kind: "hello", versions: [protocolVersion], ...this.#introduction() };
    this.#send(this.#hello);
  }

  #introduction(): Introduction {
    const { name, nodeId, creation } = this.#setup.self;
    return { name, nodeId, creation, capabilities: this.#setup.capabilities, challenge: this.#challenge };
  }

  #send(message: Hello | Answer | Proof): void {
    this.#outputs.push({ type: "send", payload: encodeHandshake(message) });
  }

  #agree(peer: Introduction): boolean {
    this.#capabilities = this.#setup.capabilities.filter((each) => peer.capabilities.includes(each));
    if (this.#capabilities.length > 0) return true;
    this.#fail({
      code: "no_common_capabilities",
      reason: `${peer.name} offers ${peer.capabilities.join(", ") || "nothing"}, this node ${this.#setup.capabilities.join(", ")}`,
    });
    return false;
  }

  #checkId(peer: Introduction): boolean {
    if (this.#peer?.nodeId === peer.nodeId) return true;
    this.#fail({
      code: "invalid_challenge",
      reason: `${peer.name} claims node id ${peer.nodeId}, its certificate is that of ${this.#peer?.nodeId}`,
    });
    return false;
  }

  #verify(signer: Role, signature: Uint8Array, hello: Hello, answer: Answer): boolean {
    const key = this.#peer?.publicKey;
    const bytes = signedBytes(signer, { hello, answer });
    if (key !== undefined && this.#setup.crypto.verify(key, bytes, signature)) return true;
    const { name } = signer === "listener" ? answer : hello;
    this.#fail({ code: "invalid_challenge", reason: `the signature of ${name} does not fit the challenge` });
    return false;
  }

  #complete(peer: Introduction): void {
    this.#phase = "done";
    this.#outputs.push({ type: "complete", peer, capabilities: this.#capabilities });
  }

  #fail(ending: Ending): void {
    if (this.#phase === "done") return;
    this.#phase = "done";
    this.#outputs.push({ type: "fail", ending });
  }
}

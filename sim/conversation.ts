import type { NodeId } from "../src/base/node-id.ts";
import type { Random } from "../src/base/random.ts";
import type { Instant } from "../src/base/time.ts";
import { Session, type SessionInput } from "../src/session/index.ts";

/** What a conversation needs of its node. */
export interface ConversationSurroundings {
  /** SESSION over the link. */
  greet(to: NodeId, payload: Uint8Array): void;
  sendByLink(to: NodeId, message: Uint8Array): void;
  /** `token`: the session, told again when it is lost. */
  sendByChannel(to: NodeId, message: Uint8Array, token: number, now: Instant): void;
  /** Close the link at once. */
  endLink(to: NodeId): void;
  /** From the other node, in order. */
  delivered(from: NodeId, message: Uint8Array): void;
  /** All that was sent and has not arrived is lost. */
  down(peer: NodeId): void;
}

const creation = 1;

/** What the processes of this node and another have to say to each other: a session, and what waits for a way to take. */
export class Conversation {
  readonly #peer: NodeId;
  readonly #around: ConversationSurroundings;
  readonly #session: Session;
  #link: { sends: boolean; reads: boolean; retired: boolean } | undefined;
  /** Sent while there is a link that is not used yet, or no more. */
  #held: Uint8Array[] = [];
  /** Came by a link that is not known yet to belong to the session. */
  #unread: Uint8Array[] = [];
  /** Messages sent since `countedSince`. */
  #count = 0;
  #countedSince: Instant;

  constructor(peer: NodeId, around: ConversationSurroundings, random: Random, now: Instant) {
    this.#peer = peer;
    this.#around = around;
    this.#session = new Session(creation, random);
    this.#countedSince = now;
  }

  get isUp(): boolean {
    return this.#session.isUp;
  }

  /** Messages sent lately, at most 10 s. */
  get recent(): number {
    return this.#count;
  }

  send(message: Uint8Array, now: Instant): void {
    if (now - this.#countedSince >= recentMs) {
      this.#count = 0;
      this.#countedSince = now;
    }
    this.#count++;
    if (this.#link === undefined) this.#byChannel(message, now);
    else if (this.#link.sends) this.#around.sendByLink(this.#peer, message);
    else {
      this.#session.touch();
      this.#held.push(message);
    }
  }

  handle(input: SessionInput, now: Instant): void {
    if (input.type === "linkUp") this.#link = { sends: false, reads: false, retired: false };
    if (input.type === "linkDown") this.#link = undefined;
    this.#session.handle(input);
    this.#drain(now);
    // What waited for the link goes another way.
    if (input.type !== "linkDown") return;
    for (const message of this.#held.splice(0)) this.#byChannel(message, now);
  }

  /** From now on nothing more is sent by the link. */
  retire(): void {
    if (this.#link === undefined) return;
    this.#link.sends = false;
    this.#link.retired = true;
  }

  onLinkMessage(message: Uint8Array): void {
    if (this.#link?.reads === true) this.#around.delivered(this.#peer, message);
    else this.#unread.push(message);
  }

  #byChannel(message: Uint8Array, now: Instant): void {
    this.#around.sendByChannel(this.#peer, this.#session.message(0, message), this.#session.number, now);
  }

  #drain(now: Instant): void {
    for (let output = this.#session.poll(); output !== undefined; output = this.#session.poll()) {
      switch (output.type) {
        case "greet":
          this.#around.greet(this.#peer, output.payload);
          break;
        case "answer":
          this.#around.sendByChannel(this.#peer, output.message, this.#session.number, now);
          break;
        case "useLink":
          if (this.#link === undefined || this.#link.retired) break;
          this.#link.sends = true;
          for (const message of this.#held.splice(0)) this.#around.sendByLink(this.#peer, message);
          break;
        case "readLink":
          if (this.#link !== undefined) this.#link.reads = true;
          for (const message of this.#unread.splice(0)) this.#around.delivered(this.#peer, message);
          break;
        case "endLink":
          this.#link = undefined;
          this.#unread = [];
          this.#around.endLink(this.#peer);
          break;
        case "deliver":
          this.#around.delivered(this.#peer, output.bytes);
          break;
        case "down":
          this.#held = [];
          this.#around.down(this.#peer);
          break;
        case "up":
          break;
        default:
          output satisfies never;
      }
    }
  }
}

/** Traffic is counted for so long. */
export const recentMs = 10_000;

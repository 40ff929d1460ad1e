import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import {
  decodeGreeting,
  decodeSessionMessage,
  encodeGreeting,
  encodeSessionMessage,
  type Greeting,
} from "./messages.ts";

export type SessionInput =
  /** There is a link. `plain`: the other end does not speak of sessions; each link is one then. */
  | { readonly type: "linkUp"; readonly plain?: { readonly creation: number } }
  /** SESSION over the link. */
  | { readonly type: "greeting"; readonly payload: Uint8Array }
  /** `clean`: it ended because nobody needed it, and all that either end sent by it has been read. */
  | { readonly type: "linkDown"; readonly clean: boolean }
  /** A message by a channel. */
  | { readonly type: "message"; readonly payload: Uint8Array }
  /** All that was sent by a channel has been delivered. */
  | { readonly type: "settled" }
  /** Something sent by a channel was lost, or what came by it cannot be followed. `number`: ours when it was sent. */
  | { readonly type: "lost"; readonly number: number }
  /** The node is dead. */
  | { readonly type: "memberDown" };

export type SessionOutput =
  /** Send SESSION over the link. */
  | { readonly type: "greet"; readonly payload: Uint8Array }
  /** Send this by a channel. */
  | { readonly type: "answer"; readonly message: Uint8Array }
  /** From now on what is sent takes the link. */
  | { readonly type: "useLink" }
  /** What the lanes of the link bring belongs to this session: it may be read. */
  | { readonly type: "readLink" }
  /** The link belongs to a session that is over. */
  | { readonly type: "endLink" }
  /** The other node is there; its life. */
  | { readonly type: "up"; readonly creation: number }
  /** Something may have been lost either way: all that the two nodes' processes have to do with each other is over. */
  | { readonly type: "down" }
  /** Bytes of one of the other end's lanes, by a channel. */
  | { readonly type: "deliver"; readonly lane: number; readonly bytes: Uint8Array };

interface LinkState {
  readonly plain: boolean;
  /** Our number as it was last said over the link. */
  greetedAs: number;
  /** The other end has said that the link belongs to this session. */
  greeted: boolean;
  used: boolean;
}

/**
 * What the processes of two nodes have with each other, whatever carries it: a link, channels through the mesh, first one and
 * then the other. Signals are neither lost, nor doubled, nor overtaken while it lasts; once something was lost it is over
 * for both ends, and a new one may begin.
 *
 * Each end has a number, made at random when a session begins. Whatever arrives says which ends it is about. So an end that
 * gives up says so by beginning anew: the other sees another number, and gives up too. What is still under way between the
 * former ends is recognised and dropped.
 *
 * A link is used at once by an end that has sent nothing yet. Otherwise only when the other has greeted, which shows that it
 * goes on with the same session, and what was sent by channels is settled.
 */
export class Session {
  readonly #creation: number;
  readonly #random: Random;
  readonly #outputs = new Queue<SessionOutput>();
  #mine: number;
  #theirs = 0;
  #ended = 0;
  #isUp = false;
  /** Something was sent that the other end may wait for. */
  #touched = false;
  #settled = true;
  /** Whose number was answered. */
  #answered = 0;
  #link: LinkState | undefined;
  #malformed = 0;

  /** @param creation of this node. */
  constructor(creation: number, random: Random) {
    this.#creation = creation;
    this.#random = random;
    this.#mine = number(random);
  }

  /** Of this end: changes when a session is over. */
  get number(): number {
    return this.#mine;
  }

  /** `up` was said, and `down` not yet. */
  get isUp(): boolean {
    return this.#isUp;
  }

  /** Nothing was said that either end may come back to: it can be forgotten. */
  get isIdle(): boolean {
    return !this.#isUp && !this.#touched && this.#link === undefined;
  }

  /** Messages that were none. */
  get malformed(): number {
    return this.#malformed;
  }

  handle(input: SessionInput): void {
    this.#react(input);
    const link = this.#link;
    if (link === undefined || link.plain || link.greetedAs === this.#mine) return;
    link.greetedAs = this.#mine;
    this.#outputs.push({ type: "greet", payload: encodeGreeting(this.#greeting()) });
  }

  poll(): SessionOutput | undefined {
    return this.#outputs.shift();
  }

  /** Something is sent that waits for a link: `down` follows if none comes. */
  touch(): void {
    this.#touched = true;
  }

  /** A message for a channel that has the other end tell its own number: `up` follows, or `lost`. */
  hello(): Uint8Array {
    this.#touched = true;
    this.#settled = false;
    return encodeGreeting(this.#greeting());
  }

  /**
   * A message for a channel, by which the other end learns that the session it had with us is over, if it still holds that for up:
   * nothing follows. `undefined` when there was none.
   */
  notice(): Uint8Array | undefined {
    return this.#ended === 0 ? undefined : encodeGreeting({ ...this.#greeting(), yours: this.#ended });
  }

  /** Bytes of a lane as a message for a channel, which `settled` or `lost` follows. */
  message(lane: number, bytes: Uint8Array): Uint8Array {
    this.#touched = true;
    this.#settled = false;
    return encodeSessionMessage(this.#greeting(), lane, bytes);
  }

  #react(input: SessionInput): void {
    switch (input.type) {
      case "linkUp":
        this.#onLinkUp(input.plain);
        break;
      case "greeting":
        this.#onGreeting(input.payload);
        break;
      case "linkDown":
        this.#onLinkDown(input.clean);
        break;
      case "message":
        this.#onMessage(input.payload);
        break;
      case "settled":
        this.#settled = true;
        this.#useLink();
        break;
      case "lost":
        if (input.number === this.#mine) this.#end();
        break;
      case "memberDown":
        if (this.#link === undefined) this.#end();
        break;
      default:
        input satisfies never;
    }
  }

  #onLinkUp(plain: { readonly creation: number } | undefined): void {
    const isPlain = plain !== undefined;
    this.#link = { plain: isPlain, greetedAs: 0, greeted: false, used: false };
    if (isPlain) {
      this.#adopt({ mine: 1, creation: plain.creation });
      this.#greeted();
    } else if (!this.#touched && !this.#isUp) this.#useLink();
  }

  #onGreeting(payload: Uint8Array): void {
    const greeting = this.#decode(() => decodeGreeting(payload));
    if (greeting === undefined || this.#link === undefined) return;
    if (this.#claim(greeting)) this.#greeted();
    // It is about a former end of ours, or of theirs: our greeting tells them.
    else if (this.#link !== undefined) this.#link.greetedAs = 0;
  }

  #greeted(): void {
    const link = this.#link;
    if (link === undefined || link.greeted) return;
    link.greeted = true;
    this.#outputs.push({ type: "readLink" });
    this.#useLink();
  }

  /** Who has sent nothing yet need not wait to hear whether the other goes on with the same session. */
  #useLink(): void {
    const link = this.#link;
    if (link === undefined || link.used || !this.#settled) return;
    if (!link.greeted && (this.#touched || this.#isUp)) return;
    link.used = true;
    this.#touched = true;
    this.#outputs.push({ type: "useLink" });
  }

  #onLinkDown(clean: boolean): void {
    const link = this.#link;
    this.#link = undefined;
    if (link !== undefined && !clean && (link.used || link.greeted)) this.#end();
  }

  #onMessage(payload: Uint8Array): void {
    const message = this.#decode(() => decodeSessionMessage(payload));
    if (message === undefined) return;
    const { lane, bytes, mine, yours } = message;
    const wasKnown = this.#theirs === mine;
    const isOurs = this.#claim(message);
    if (isOurs && lane !== undefined) this.#outputs.push({ type: "deliver", lane, bytes });
    if (isOurs ? !wasKnown && yours !== this.#mine : lane !== undefined) this.#answer(mine);
  }

  /** So that the other knows our end: once, whatever else of `theirs` is under way. */
  #answer(theirs: number): void {
    if (this.#answered === theirs) return;
    this.#answered = theirs;
    this.#touched = true;
    this.#settled = false;
    this.#outputs.push({ type: "answer", message: encodeGreeting(this.#greeting()) });
  }

  /** Whether what comes with this head belongs to the session as it is now; begins a new one when it must. */
  #claim({ mine, yours, ended, creation }: Greeting): boolean {
    if (ended === this.#mine) this.#end();
    if (mine === this.#ended || (yours !== 0 && yours !== this.#mine)) return false;
    if (this.#theirs === mine) return true;
    if (this.#theirs !== 0) this.#end();
    this.#adopt({ mine, creation });
    return true;
  }

  #adopt({ mine, creation }: Pick<Greeting, "mine" | "creation">): void {
    this.#theirs = mine;
    if (this.#isUp) return;
    this.#isUp = true;
    this.#outputs.push({ type: "up", creation });
  }

  #end(): void {
    const wasSomething = this.#isUp || this.#touched;
    if (this.#link?.used === true || this.#link?.greeted === true) {
      this.#link = undefined;
      this.#outputs.push({ type: "endLink" });
    }
    if (this.#theirs !== 0) this.#ended = this.#theirs;
    this.#theirs = 0;
    this.#mine = number(this.#random);
    this.#answered = 0;
    this.#isUp = false;
    this.#touched = false;
    this.#settled = true;
    if (wasSomething) this.#outputs.push({ type: "down" });
  }

  #greeting(): Greeting {
    return { mine: this.#mine, yours: this.#theirs, ended: this.#ended, creation: this.#creation };
  }

  #decode<Result>(decode: () => Result): Result | undefined {
    try {
      return decode();
    } catch {
      this.#malformed++;
      return undefined;
    }
  }
}

/** 1 … 2^32 − 1. */
function number(random: Random): number {
  return 1 + random.integer(0xffff_ffff);
}

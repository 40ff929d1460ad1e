import { equal } from "../base/bytes.ts";
import { directoryKind } from "../base/directory-kind.ts";
import { assert, MeshError } from "../base/errors.ts";
import type { Point } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { Answers } from "./answers.ts";
import { Checks } from "./checks.ts";
import { type Claim, compareClaims, encodeClaim, type NameRecord, nameKey, readClaim } from "./claim.ts";
import type { NamesInput, NamesNews, NamesOutput, NamesSetup } from "./contract.ts";
import type { NamesOptions } from "./options.ts";
import { Questions } from "./questions.ts";

/** A name that is this node's, or is about to be. */
interface Own {
  readonly name: string;
  readonly key: Point;
  readonly value: Uint8Array;
  /** `looking` whether it is free, `publishing`, `settling`, `reading` whether others did the same; then it is `held`. */
  state: "looking" | "publishing" | "settling" | "reading" | "held";
  /** Of the registration. */
  readonly token: number;
  /** Of the question that it waits for. */
  question: number | undefined;
  /** From `publishing` on. */
  claim: { readonly registeredMs: number; readonly owner: NodeId; readonly bytes: Uint8Array } | undefined;
}

interface Search {
  readonly key: Point;
  readonly tokens: number[];
}

type Purpose =
  | { readonly type: "own"; readonly own: Own }
  | { readonly type: "search"; readonly search: Search };

/** For decisions: all of the nodes nearest to a name are asked, since one of them may know of a claim that others do not. */
const allHolders = Infinity;
/**
 * For look-ups: more than the three that are asked at a time. Those asked first may be farther off and know of one
 * side of a past partition only; what they answer leads to the nearest, which know of both.
 */
const someHolders = 8;

/**
 * Globally registered names: who has a name is what the directory says, where each owner claims it by a signed record.
 *
 * There is no lock and no vote. Whoever wants a name looks whether it is free, claims it, and looks again; of several
 * claims the oldest counts, everywhere. Owners check their claims, soon after members came (a partition may
 * have ended) and regularly, and give up what they have lost. So during a partition each side may have an owner, and
 * after it there is one.
 */
export class Names implements Machine<NamesInput, NamesOutput> {
  readonly #setup: NamesSetup;
  readonly #options: Required<NamesOptions>;
  readonly #outputs = new Queue<NamesOutput>();
  readonly #own = new Map<Point, Own>();
  readonly #searches = new Map<Point, Search>();
  readonly #questions: Questions<Purpose>;
  readonly #answers: Answers;
  readonly #checks: Checks<Own>;
  #pending = 0;
  readonly #counters = { malformed: 0, conflicts: 0, republished: 0 };

  constructor(setup: NamesSetup, options: Required<NamesOptions>) {
    this.#setup = setup;
    this.#options = options;
    this.#questions = new Questions(options.timeoutMs);
    this.#answers = new Answers(options.cacheMs, options.cacheMax);
    this.#checks = new Checks(options, setup.random);
  }

  /** So far: claims that could not be read, names lost to others, claims of ours that had vanished from the directory. */
  get counters(): Readonly<Record<"malformed" | "conflicts" | "republished", number>> {
    return this.#counters;
  }

  /** The names that are this node's. */
  names(): string[] {
    return [...this.#own.values()].filter(({ state }) => state === "held").map(({ name }) => name);
  }

  handle(input: NamesInput, now: Instant): void {
    switch (input.type) {
      case "register":
        this.#onRegister(input, now);
        break;
      case "unregister":
        this.#onUnregister(input.name);
        break;
      case "whereis":
        this.#onWhereis(input, now);
        break;
      case "memberUp":
        this.#checks.onMemberUp(now);
        break;
      case "found":
        this.#onFound(input.token, input.records, now);
        break;
      case "published":
        if (input.kind === directoryKind.name) this.#onPublished(input.key, now);
        break;
      case "refused":
        this.#onRefused(input.input, input.error, now);
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): NamesOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return earliest(this.#questions.deadline(), this.#checks.deadline());
  }

  #onTick(now: Instant): void {
    for (let late = this.#questions.expire(now); late !== undefined; late = this.#questions.expire(now)) {
      this.#fail(
        late,
        new MeshError("TIMEOUT", `no answer of the directory in ${this.#options.timeoutMs} ms`),
        now,
      );
    }
    for (let own = this.#checks.next(now); own !== undefined; own = this.#checks.next(now)) {
      if (own.state === "settling") own.state = "reading";
      this.#ask(own, now);
    }
  }

  // Names of this node.

  #onRegister({ token, name, value }: Extract<NamesInput, { type: "register" }>, now: Instant): void {
    const { self, life } = this.#setup;
    let key: Point;
    try {
      key = this.#admit(name);
      // What is too long is refused before others are asked.
      encodeClaim({ life, registeredMs: 0, value });
      if (this.#own.has(key)) {
        this.#outputs.push({ type: "taken", token, by: self });
        return;
      }
      const most = this.#options.ownNamesMax;
      if (this.#own.size >= most)
        throw new MeshError("LIMIT", `${most} global names are this node's already`);
    } catch (error) {
      this.#outputs.push({ type: "failed", token, error: limit(error) });
      return;
    }
    this.#pending++;
    const own: Own = { name, key, value, state: "looking", token, question: undefined, claim: undefined };
    this.#own.set(key, own);
    this.#ask(own, now);
  }

  #onUnregister(name: string): void {
    let key: Point;
    try {
      key = nameKey(name, this.#setup.crypto);
    } catch {
      // Nobody has such a name.
      return;
    }
    const own = this.#own.get(key);
    if (own === undefined) return;
    if (own.state === "held") this.#drop(own);
    else this.#abandon(own, new MeshError("CLOSED", `${name} was unregistered before it was registered`));
  }

  #onPublished(key: Point, now: Instant): void {
    const own = this.#own.get(key);
    // The directory says so again and again.
    if (own?.state !== "publishing") return;
    this.#questions.take(own.question);
    own.question = undefined;
    own.state = "settling";
    this.#checks.set(own, after(now, this.#options.settleMs));
  }

  /** What the directory says about a name of ours. */
  #onOwn(own: Own, records: readonly NameRecord[], now: Instant): void {
    const rival = this.#best(records);
    const { claim } = own;
    if (claim === undefined) {
      if (rival === undefined) this.#claim(own, now);
      else this.#lose(own, rival);
    } else if (rival !== undefined && compareClaims(rival, claim) < 0) {
      this.#lose(own, rival);
    } else {
      this.#keep(own, claim.bytes, records, now);
    }
  }

  #claim(own: Own, now: Instant): void {
    const { self, life } = this.#setup;
    const registeredMs = Math.floor(this.#setup.wallClock(now));
    const bytes = encodeClaim({ life, registeredMs, value: own.value });
    own.claim = { registeredMs, owner: self, bytes };
    own.state = "publishing";
    own.question = this.#questions.add({ type: "own", own }, now);
    this.#publish(own.key, bytes);
  }

  /** It is ours, as far as anybody knows. */
  #keep(own: Own, bytes: Uint8Array, records: readonly NameRecord[], now: Instant): void {
    const { self } = this.#setup;
    const isSaid = records.some(({ owner, kind, value }) => {
      return owner === self && kind === directoryKind.name && equal(value, bytes);
    });
    if (own.state === "reading") {
      if (!isSaid) {
        // Their quotas: one that nobody would find is not registered.
        this.#abandon(own, new MeshError("LIMIT", "the nodes that should keep the name have no room for it"));
        return;
      }
      own.state = "held";
      this.#answers.delete(own.key);
      this.#answer({ type: "registered", token: own.token });
      // Somebody may have looked before we claimed it and claimed it after we looked again.
      this.#checks.soon(own, now);
      return;
    }
    this.#checks.later(own, now);
    if (isSaid) return;
    this.#counters.republished++;
    this.#publish(own.key, bytes);
  }

  #lose(own: Own, to: Claim): void {
    this.#drop(own);
    if (own.state === "held") {
      this.#counters.conflicts++;
      this.#outputs.push({ type: "conflict", name: own.name, lostTo: to.owner });
    } else {
      this.#answer({ type: "taken", token: own.token, by: to.owner });
    }
  }

  #drop(own: Own): void {
    this.#own.delete(own.key);
    this.#answers.delete(own.key);
    this.#questions.take(own.question);
    this.#checks.delete(own);
    if (own.claim === undefined) return;
    this.#outputs.push({ type: "withdraw", kind: directoryKind.name, key: own.key });
  }

  // Names of others.

  #onWhereis({ token, name }: Extract<NamesInput, { type: "whereis" }>, now: Instant): void {
    let key: Point;
    try {
      key = this.#admit(name);
    } catch (error) {
      this.#outputs.push({ type: "failed", token, error: limit(error) });
      return;
    }
    const answer = this.#answers.get(key, now);
    const known = this.#ownHolder(key) ?? (answer !== undefined && this.#counts(answer) ? answer : undefined);
    if (known !== undefined) {
      this.#outputs.push({ type: "resolved", token, holder: { owner: known.owner, value: known.value } });
      return;
    }
    this.#pending++;
    const under = this.#searches.get(key);
    if (under !== undefined) {
      under.tokens.push(token);
      return;
    }
    const search = { key, tokens: [token] };
    this.#searches.set(key, search);
    const question = this.#questions.add({ type: "search", search }, now);
    this.#outputs.push({ type: "get", token: question, key, holders: someHolders });
  }

  #onSearched({ key, tokens }: Search, records: readonly NameRecord[], now: Instant): void {
    this.#searches.delete(key);
    const best = this.#best(records);
    if (best !== undefined) this.#answers.put(key, best, now);
    const known = this.#ownHolder(key) ?? best;
    const holder = known === undefined ? undefined : { owner: known.owner, value: known.value };
    for (const token of tokens) this.#answer({ type: "resolved", token, holder });
  }

  #ownHolder(key: Point): { readonly owner: NodeId; readonly value: Uint8Array } | undefined {
    const own = this.#own.get(key);
    return own?.state === "held" ? { owner: this.#setup.self, value: own.value } : undefined;
  }

  // The directory.

  #onFound(token: number, records: readonly NameRecord[], now: Instant): void {
    const purpose = this.#questions.take(token);
    if (purpose?.type === "search") {
      this.#onSearched(purpose.search, records, now);
    } else if (purpose?.type === "own") {
      purpose.own.question = undefined;
      this.#onOwn(purpose.own, records, now);
    }
  }

  #onRefused(input: Extract<NamesInput, { type: "refused" }>["input"], error: MeshError, now: Instant): void {
    if (input.type === "withdraw") return;
    let token: number | undefined;
    if (input.type === "get") token = input.token;
    else if (input.kind === directoryKind.name) {
      const own = this.#own.get(input.key);
      // One that is stored again will be once more, and checked.
      if (own?.state === "publishing") token = own.question;
    }
    const purpose = this.#questions.take(token);
    if (purpose !== undefined) this.#fail(purpose, error, now);
  }

  #fail(purpose: Purpose, error: MeshError, now: Instant): void {
    if (purpose.type === "search") {
      const { key, tokens } = purpose.search;
      this.#searches.delete(key);
      for (const token of tokens) this.#answer({ type: "failed", token, error });
      return;
    }
    const { own } = purpose;
    own.question = undefined;
    if (own.state === "held") {
      this.#checks.soon(own, now);
      return;
    }
    this.#abandon(own, error);
  }

  /** Nothing comes of the registration. */
  #abandon(own: Own, error: MeshError): void {
    this.#drop(own);
    this.#answer({ type: "failed", token: own.token, error });
  }

  #ask(own: Own, now: Instant): void {
    own.question = this.#questions.add({ type: "own", own }, now);
    this.#outputs.push({ type: "get", token: own.question, key: own.key, holders: allHolders });
  }

  #publish(key: Point, value: Uint8Array): void {
    const { ttlMs } = this.#options;
    this.#outputs.push({ type: "publish", kind: directoryKind.name, key, value, ttlMs });
  }

  /** Of the claims of others that count, the one that all others give way to. */
  #best(records: readonly NameRecord[]): Claim | undefined {
    let best: Claim | undefined;
    for (const record of records) {
      const claim = this.#read(record);
      if (claim === undefined || !this.#counts(claim)) continue;
      if (best === undefined || compareClaims(claim, best) < 0) best = claim;
    }
    return best;
  }

  #read(record: NameRecord): Claim | undefined {
    try {
      return readClaim(record);
    } catch {
      this.#counters.malformed++;
      return undefined;
    }
  }

  /** Our own claims are known without the directory, which may still have those that we gave up. */
  #counts({ owner, life }: Claim): boolean {
    return owner !== this.#setup.self && this.#setup.lifeOf(owner) === life;
  }

  /** The key of a name that somebody here asks for. @throws MeshError `LIMIT`. */
  #admit(name: string): Point {
    const key = nameKey(name, this.#setup.crypto);
    if (this.#pending < this.#options.pendingMax) return key;
    throw new MeshError("LIMIT", `${this.#pending} questions about global names wait for answers already`);
  }

  #answer(news: Exclude<NamesNews, { type: "conflict" }>): void {
    this.#pending--;
    assert(this.#pending >= 0, "an answer to no question about a name");
    this.#outputs.push(news);
  }
}

function limit(error: unknown): MeshError {
  if (error instanceof MeshError) return error;
  throw error;
}

import type { RemoteInfo } from "node:dgram";
import { networkInterfaces } from "node:os";
import { toError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { after, type Instant } from "../../base/time.ts";
import { type FoundInstance, Instances } from "./instances.ts";
import { type Interfaces, type Link, linksOf } from "./links.ts";
import { decodePacket, encodeAnswers, encodeQuestions, type MdnsPacket } from "./packets.ts";
import { realmHash, Service, type ServiceOptions, serviceName } from "./service.ts";
import { MulticastSocket } from "./socket.ts";

const mdnsPort = 5_353;
/** A question that somebody asked on the link this short a time ago need not be asked again: all have heard the answers. */
const askedLatelyMs = 15_000;
/**
 * After the first question on a link it is asked once more, RFC 6762 §5.2: who told of itself just before the first one, when
 * we did not listen yet, may not say it again within a second.
 */
const secondAskMs = 2_000;
/** Answers of many to one question are spread over this time, RFC 6762 §6. */
const answerDelayMs = { min: 20, max: 120 } as const;
/** Between two answers to all on a link, however many ask. RFC 6762 §6. */
const answerGapMs = 1_000;
/** Answers to single ones on a link in a second. */
const singleAnswersMax = 10;

export interface MdnsOptions {
  readonly service: ServiceOptions;
  /** IP address on which it listens; `::` and `0.0.0.0` mean all of the machine. */
  readonly host: string;
  /** A node of the same realm was heard of, or heard of again. */
  readonly onFound: (instance: FoundInstance) => void;
  /**
   * Multicast does not work on an interface, or (`undefined`) there is none. Told once until it works again; each round tries anew.
   */
  readonly onProblem: (problem: { readonly interface: string | undefined; readonly error: Error }) => void;
  readonly random: Random;
  readonly clock: () => Instant;
  /** Default 5353. */
  readonly port?: number;
  /** Default: `os.networkInterfaces`. */
  readonly interfaces?: () => Interfaces;
}

/** One link and what happens on it. */
interface Place {
  readonly link: Link;
  readonly socket: MulticastSocket;
  /** When somebody asked for all instances, we or another. */
  askedAt?: Instant;
  answeredAt?: Instant;
  secondAsk?: NodeJS.Timeout;
  /** The answer that is due. */
  timer?: NodeJS.Timeout;
  singleAnswers: number;
  singleAnswersSince: Instant;
}

/**
 * Multicast DNS (RFC 6762, RFC 6763) for one node: makes it known on all links of the machine, by IPv4 and IPv6, and
 * hears of others. Nothing that arrives, and no network that is missing, throws.
 */
export class Mdns {
  readonly #options: MdnsOptions;
  readonly #port: number;
  readonly #service: Service;
  readonly #instances: Instances;
  readonly #places = new Map<string, Place>();
  /** What was reported and holds still, by link. */
  readonly #problems = new Map<string, string>();
  #closing: Promise<void> | undefined;

  /** Does nothing until the first `round`. */
  constructor(options: MdnsOptions) {
    this.#options = options;
    this.#port = options.port ?? mdnsPort;
    this.#service = new Service(options.service);
    this.#instances = new Instances(realmHash(options.service.realm), this.#service.instance);
  }

  /**
   * Looks for interfaces that came and went, asks on each who is there, and tells again of all known. A link that is new,
   * or works again, is asked and told of this node as soon as its socket is open.
   */
  round(): void {
    if (this.#closing !== undefined) return;
    const links = this.#links();
    const present = new Set(links.map(({ key }) => key));
    for (const [key, place] of this.#places) if (!present.has(key)) this.#drop(key, place);
    for (const key of this.#problems.keys()) if (key !== "" && !present.has(key)) this.#problems.delete(key);
    const now = this.#options.clock();
    for (const link of links) {
      const place = this.#places.get(link.key);
      if (place === undefined) this.#open(link, now);
      else if (place.askedAt === undefined || now >= after(place.askedAt, askedLatelyMs)) this.#ask(place);
    }
    for (const instance of this.#instances.known(now)) this.#options.onFound(instance);
  }

  /** Says goodbye, so that others forget this node at once; closes all sockets. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const places = [...this.#places];
    await Promise.all(
      places.map(([, { link, socket }]) =>
        socket.send(encodeAnswers(this.#service.records(link.addresses, "leaving"))),
      ),
    );
    for (const [key, place] of places) this.#drop(key, place);
  }

  #links(): readonly Link[] {
    let links: readonly Link[];
    try {
      links = linksOf((this.#options.interfaces ?? networkInterfaces)(), this.#options.host);
      if (links.length === 0) throw new Error("no network interface has an address this node listens on");
    } catch (thrown) {
      // Some sandboxes do not let a program see the interfaces.
      this.#report("", undefined, toError(thrown));
      return [];
    }
    this.#problems.delete("");
    return links;
  }

  #open(link: Link, now: Instant): void {
    const socket = new MulticastSocket({
      link,
      port: this.#port,
      onReady: () => {
        this.#ask(place);
        place.secondAsk = setTimeout(() => this.#ask(place), secondAskMs);
        // Announced twice, one second apart, RFC 6762 §8.3.
        void this.#answer(place);
        this.#answerSoon(place);
      },
      onPacket: (bytes, from) => this.#onPacket(place, bytes, from),
      onFailed: (error) => {
        this.#drop(link.key, place);
        this.#report(link.key, link.key.split(" ").slice(0, 2).join(" "), error);
      },
    });
    const place: Place = { link, socket, singleAnswers: 0, singleAnswersSince: now };
    this.#places.set(link.key, place);
  }

  #drop(key: string, place: Place): void {
    clearTimeout(place.secondAsk);
    clearTimeout(place.timer);
    place.socket.close();
    if (this.#places.get(key) === place) this.#places.delete(key);
  }

  #report(key: string, name: string | undefined, error: Error): void {
    const text = (error as NodeJS.ErrnoException).code ?? error.message;
    if (this.#problems.get(key) === text) return;
    this.#problems.set(key, text);
    this.#options.onProblem({ interface: name, error });
  }

  #ask(place: Place): void {
    place.askedAt = this.#options.clock();
    void place.socket.send(encodeQuestions([{ type: "PTR", name: serviceName }]));
  }

  /** Tells all on the link of this node. */
  async #answer(place: Place): Promise<void> {
    clearTimeout(place.timer);
    delete place.timer;
    place.answeredAt = this.#options.clock();
    await place.socket.send(encodeAnswers(this.#service.records(place.link.addresses)));
    // Only what was sent shows that the link works.
    if (place.socket.isReady) this.#problems.delete(place.link.key);
  }

  #answerSoon(place: Place): void {
    if (place.timer !== undefined) return;
    const { random, clock } = this.#options;
    const spreadMs = answerDelayMs.min + random.integer(answerDelayMs.max - answerDelayMs.min);
    const gapMs = place.answeredAt === undefined ? 0 : place.answeredAt + answerGapMs - clock();
    place.timer = setTimeout(() => void this.#answer(place), Math.max(spreadMs, gapMs));
  }

  #onPacket(place: Place, bytes: Uint8Array, from: RemoteInfo): void {
    if (this.#closing !== undefined) return;
    const packet = decodePacket(bytes);
    if (packet === undefined) return;
    if (!packet.isResponse) this.#onQuery(place, packet, from);
    // RFC 6762 §6: answers come from the port of multicast DNS, which an ordinary user of a machine cannot everywhere have.
    else if (from.port === this.#port) this.#onResponse(place, packet, from);
  }

  #onQuery(place: Place, query: MdnsPacket, from: RemoteInfo): void {
    if (from.port !== this.#port) {
      if (this.#service.isAskedFor(query)) this.#answerOne(place, query, from);
      return;
    }
    // With a list of what the asker knows, not all would answer.
    if (query.answers.length === 0 && query.questions.some(isForAll)) place.askedAt = this.#options.clock();
    if (this.#service.isAskedFor(query)) this.#answerSoon(place);
  }

  /** Who asks from another port does not hear what is said to all. Bounded, because the sender's address may be a lie. */
  #answerOne(place: Place, query: MdnsPacket, from: RemoteInfo): void {
    const now = this.#options.clock();
    if (now >= after(place.singleAnswersSince, 1_000)) {
      place.singleAnswers = 0;
      place.singleAnswersSince = now;
    }
    if (++place.singleAnswers > singleAnswersMax) return;
    const records = this.#service.records(place.link.addresses, "legacy");
    void place.socket.send(encodeAnswers(records, query), from);
  }

  #onResponse(place: Place, response: MdnsPacket, { address }: RemoteInfo): void {
    const heard = { address, link: place.link };
    const { found, questions } = this.#instances.handle(response, heard, this.#options.clock());
    if (questions.length > 0) void place.socket.send(encodeQuestions(questions));
    for (const instance of found) this.#options.onFound(instance);
  }
}

/** RFC 6762 §7.3; a question that wants its answer for itself alone (§5.4) does not count, its class being another. */
function isForAll({ name, type, class: asked }: MdnsPacket["questions"][number]): boolean {
  return type === "PTR" && asked === "IN" && name.toLowerCase() === serviceName;
}

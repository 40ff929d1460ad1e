import { isIP } from "node:net";
import type { Answer, Question, SrvData } from "dns-packet";
import { type NodeId, parseNodeId } from "../../base/node-id.ts";
import { canonicalNodeName } from "../../base/node-name.ts";
import { utf8Text } from "../../base/text.ts";
import { after, type Instant } from "../../base/time.ts";
import { isName, type MdnsPacket } from "./packets.ts";
import { serviceName } from "./service.ts";

/** Instances remembered, at the most. */
const instancesMax = 256;
/** Addresses remembered of one instance, at the most. */
const addressesMax = 8;
/** Nobody is believed for longer than this. */
const ttlSecondsMax = 4_500;
/** An instance is asked after at the most once in this time. */
const askAgainMs = 10_000;

/** A node of our realm as its records describe it: a hint where to try, proven by nothing. */
export interface FoundInstance {
  readonly host: string;
  readonly port: number;
  /** In full. */
  readonly name?: string;
  readonly nodeId?: NodeId;
}

/** Where a packet came from. */
export interface Heard {
  readonly address: string;
  readonly link: { contains(address: string): boolean };
}

type Facts = Pick<FoundInstance, "name" | "nodeId">;

interface Lasting<Value> {
  readonly value: Value;
  readonly until: Instant;
}

interface Entry {
  readonly instance: string;
  target?: Lasting<{ readonly host: string; readonly port: number }>;
  /** `undefined` in it: it is of no use to us, being of another realm or version, or nonsense. */
  facts?: Lasting<Facts | undefined>;
  /** Best last. */
  addresses: Map<string, Instant>;
  askedAt?: Instant;
}

/**
 * Instances of the service that others have told of. Records come in any order and packet, and last as long as they say.
 * When there are too many the one longest unheard of goes: a flood of invented ones pushes out what is remembered, but a
 * node that answers is told of at that moment all the same.
 */
export class Instances {
  readonly #realm: string;
  readonly #own: string;
  /** By name in lower case, the one heard of last at the end. */
  readonly #entries = new Map<string, Entry>();

  /** @param own the name of our own instance, which is not among them. */
  constructor(realm: string, own: string) {
    this.#realm = realm;
    this.#own = own.toLowerCase();
  }

  /** Takes over what a response says. The nodes it tells of that are complete now, and what to ask for those that are not. */
  handle(
    { answers, additionals }: MdnsPacket,
    heard: Heard,
    now: Instant,
  ): { readonly found: readonly FoundInstance[]; readonly questions: readonly Question[] } {
    const records = [...answers, ...additionals];
    const touched = new Set<Entry>();
    for (const record of records) {
      const entry = this.#onRecord(record, now);
      if (entry !== undefined) touched.add(entry);
    }
    this.#onAddresses(records, heard, now, touched);
    const found: FoundInstance[] = [];
    const questions: Question[] = [];
    for (const entry of touched) {
      const instance = describe(entry, now);
      if (instance !== undefined) found.push(instance);
      else questions.push(...ask(entry, now));
    }
    return { found, questions };
  }

  /** All that are complete and whose records have not run out. */
  known(now: Instant): FoundInstance[] {
    return [...this.#entries.values()].flatMap((entry) => describe(entry, now) ?? []);
  }

  /** The entry that a PTR, SRV or TXT record changed. */
  #onRecord(record: Answer, now: Instant): Entry | undefined {
    const name = record.type === "PTR" ? record.data : record.name;
    if (record.type === "PTR" ? record.name.toLowerCase() !== serviceName : !isInstance(name))
      return undefined;
    if (!isInstance(name) || name.toLowerCase() === this.#own) return undefined;
    if (record.type !== "PTR" && record.type !== "SRV" && record.type !== "TXT") return undefined;
    const ttl = record.ttl ?? 0;
    if (ttl === 0) {
      // It says goodbye.
      this.#entries.delete(name.toLowerCase());
      return undefined;
    }
    const until = expiry(ttl, now);
    const entry = this.#entry(name);
    // A pointer alone says only that there is something to ask for.
    if (record.type === "TXT") entry.facts = { value: readTxt(record.data, this.#realm), until };
    if (record.type === "SRV") {
      const target = readSrv(record.data);
      if (target === undefined) return undefined;
      if (target.host !== entry.target?.value.host) entry.addresses = new Map();
      entry.target = { value: target, until };
    }
    return entry;
  }

  #onAddresses(records: readonly Answer[], heard: Heard, now: Instant, touched: Set<Entry>): void {
    const byTarget = new Map<string, Entry[]>();
    for (const entry of this.#entries.values()) {
      const host = entry.target?.value.host;
      if (host !== undefined) byTarget.set(host, [...(byTarget.get(host) ?? []), entry]);
    }
    for (const record of records) {
      if ((record.type !== "A" && record.type !== "AAAA") || !isUsable(record.data, heard)) continue;
      for (const entry of byTarget.get(record.name.toLowerCase()) ?? []) {
        touched.add(entry);
        entry.addresses.delete(record.data);
        if ((record.ttl ?? 0) > 0) entry.addresses.set(record.data, expiry(record.ttl ?? 0, now));
      }
    }
    for (const entry of touched) entry.addresses = bestOf(entry.addresses, heard);
  }

  #entry(name: string): Entry {
    const key = name.toLowerCase();
    const entry = this.#entries.get(key) ?? { instance: name, addresses: new Map<string, Instant>() };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    if (this.#entries.size > instancesMax) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    return entry;
  }
}

/** One label before the service's name; the label may be anything. */
function isInstance(name: string): boolean {
  return name.toLowerCase().endsWith(`.${serviceName}`) && isName(name);
}

function expiry(ttlSeconds: number, now: Instant): Instant {
  return after(now, 1_000 * Math.min(ttlSeconds, ttlSecondsMax));
}

function readSrv({ target, port }: SrvData): { host: string; port: number } | undefined {
  if (port === 0 || !isName(target)) return undefined;
  return { host: target.toLowerCase(), port };
}

/**
 * Addresses at which a node can be: no multicast, nothing that means another machine for each who reads it. Threat: one of
 * another machine would have us knock at programs of this one; so loopback addresses count on the loopback interface only.
 */
function isUsable(address: string, { link }: Heard): boolean {
  if (/^(?:127\.|::1$)/.test(address)) return link.contains(address);
  if (isIP(address) === 4) return !/^(?:0|22[4-9]|2[3-5]\d)\./.test(address);
  return isIP(address) === 6 && !/^(?:fe[89ab]|ff|::(?:ffff:.*)?$)/i.test(address);
}

/** `undefined` when it is not for us: another realm, another version, or not what it should be. */
function readTxt(data: unknown, realm: string): Facts | undefined {
  const values = new Map<string, string>();
  for (const bytes of Array.isArray(data) ? data : [data]) {
    if (!(bytes instanceof Uint8Array)) continue;
    try {
      const [, key, value] = /^([^=]+)=(.*)$/s.exec(utf8Text(bytes)) ?? [];
      // The first of each name counts, RFC 6763 §6.4.
      if (key !== undefined && !values.has(key.toLowerCase())) values.set(key.toLowerCase(), value ?? "");
    } catch {
      // Not text: nothing of ours.
    }
  }
  const name = values.get("name");
  const id = values.get("id");
  if (values.get("v") !== "1" || values.get("realm") !== realm) return undefined;
  try {
    return {
      ...(name !== undefined && { name: canonicalNodeName(name) }),
      ...(id !== undefined && { nodeId: parseNodeId(id) }),
    };
  } catch {
    return undefined;
  }
}

/**
 * The best of the addresses, the very best last: the one from which its node spoke, then others of this link. The
 * rest may lead there, too, but there is no telling.
 */
function bestOf(addresses: ReadonlyMap<string, Instant>, { address, link }: Heard): Map<string, Instant> {
  if (addresses.size <= 1) return new Map(addresses);
  const rank = (candidate: string): number => (candidate === address ? 2 : link.contains(candidate) ? 1 : 0);
  const sorted = [...addresses].sort(([a], [b]) => rank(a) - rank(b));
  return new Map(sorted.slice(-addressesMax));
}

function lasting<Value>(fact: Lasting<Value> | undefined, now: Instant): Value | undefined {
  return fact !== undefined && fact.until > now ? fact.value : undefined;
}

function describe(entry: Entry, now: Instant): FoundInstance | undefined {
  const target = lasting(entry.target, now);
  const facts = lasting(entry.facts, now);
  if (target === undefined || facts === undefined) return undefined;
  const host = [...entry.addresses].findLast(([, until]) => until > now)?.[0];
  return host === undefined ? undefined : { host, port: target.port, ...facts };
}

/** What is missing of an instance. */
function ask(entry: Entry, now: Instant): Question[] {
  const { instance, facts, askedAt } = entry;
  if (askedAt !== undefined && now < after(askedAt, askAgainMs)) return [];
  if (facts !== undefined && facts.until > now && facts.value === undefined) return [];
  const questions: Question[] = [];
  const target = lasting(entry.target, now);
  if (target === undefined) questions.push({ type: "SRV", name: instance });
  if (lasting(facts, now) === undefined) questions.push({ type: "TXT", name: instance });
  if (target !== undefined && entry.addresses.size === 0) {
    questions.push({ type: "A", name: target.host }, { type: "AAAA", name: target.host });
  }
  if (questions.length > 0) entry.askedAt = now;
  return questions;
}

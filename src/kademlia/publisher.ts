import type { CoreCrypto } from "../base/crypto.ts";
import { MeshError } from "../base/errors.ts";
import type { Point } from "../base/id-space.ts";
import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, type Instant } from "../base/time.ts";
import type { Lookups, Walk } from "./lookups.ts";
import type { KademliaOptions } from "./options.ts";
import { assertClaim, type DirectoryRecord, signRecord } from "./record.ts";

/** Something that this node says in the directory. */
interface Own {
  readonly kind: number;
  readonly key: Point;
  ttlMs: number;
  value: Uint8Array;
  sequence: number;
  issuedMs: number;
  withdrawn: boolean;
  /** It waits for a lookup already. */
  waiting: boolean;
}

export interface PublisherSurroundings {
  readonly options: Required<KademliaOptions>;
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  readonly random: Random;
  readonly lookups: Lookups;
  readonly wallClock: (now: Instant) => number;
  /** The nodes nearest to its key were found: they should have it. */
  found(record: DirectoryRecord, walk: Walk, now: Instant): void;
}

/**
 * What this node says in the directory: signed anew and stored again and again, until it is withdrawn.
 *
 * The sequence comes from the clock, so that it grows from one life of the node to the next with nothing kept on a disk. A
 * clock that was set back is made up for: by the record that is in the way, when a node that keeps it shows it, and
 * within one life by counting on.
 */
export class Publisher {
  readonly #around: PublisherSurroundings;
  readonly #own = new Map<string, Own>();
  readonly #due = new Schedule<Own>();
  /** The highest of those withdrawn: what is published again within the same millisecond must come after. */
  #withdrawnSequence = 0;

  constructor(around: PublisherSurroundings) {
    this.#around = around;
  }

  deadline(): Instant | undefined {
    return this.#due.deadline();
  }

  tick(now: Instant): void {
    for (let own = this.#due.expire(now); own !== undefined; own = this.#due.expire(now))
      this.#announce(own, now);
  }

  /** @throws MeshError `LIMIT` when it cannot be published. */
  publish(kind: number, key: Point, value: Uint8Array, ttlMs: number, now: Instant): void {
    assertClaim(value, ttlMs);
    const name = nameOf(kind, key);
    const { ownRecordsMax } = this.#around.options;
    const before = this.#own.get(name);
    if (before === undefined && this.#own.size >= ownRecordsMax)
      throw new MeshError("LIMIT", `${ownRecordsMax} records are published already`);
    const own = before ?? {
      kind,
      key,
      ttlMs,
      value,
      sequence: 0,
      issuedMs: 0,
      withdrawn: false,
      waiting: false,
    };
    own.ttlMs = ttlMs;
    own.value = value;
    own.withdrawn = false;
    const least = (before?.sequence ?? this.#withdrawnSequence) + 1;
    own.sequence = Math.max(least, Math.floor(this.#around.wallClock(now)));
    this.#own.set(name, own);
    this.#announce(own, now);
  }

  withdraw(kind: number, key: Point, now: Instant): void {
    const own = this.#own.get(nameOf(kind, key));
    if (own === undefined || own.withdrawn) return;
    own.value = new Uint8Array(0);
    own.withdrawn = true;
    own.sequence++;
    this.#due.clear(own);
    this.#announce(own, now);
  }

  /** Somebody keeps this record of ours and takes no older one: of an earlier life, when the clock was ahead. */
  onNewer(record: DirectoryRecord, now: Instant): void {
    const own = this.#own.get(nameOf(record.kind, record.key));
    if (own === undefined || record.sequence < own.sequence) return;
    if (record.sequence === own.sequence && record.issuedMs <= own.issuedMs) return;
    own.sequence = record.sequence + 1;
    this.#announce(own, now);
  }

  #announce(own: Own, now: Instant): void {
    if (own.waiting) return;
    own.waiting = true;
    let record: DirectoryRecord | undefined;
    this.#around.lookups.beginOwn(
      {
        target: own.key,
        holders: undefined,
        begin: (at) => {
          own.waiting = false;
          record = this.#sign(own, at);
          // A tenth earlier or later, or all who started together would store together.
          const gapMs = Math.min(this.#around.options.republishMs, own.ttlMs / 3);
          if (!own.withdrawn)
            this.#due.set(own, after(at, gapMs * (0.9 + 0.2 * this.#around.random.float())));
        },
        finish: (walk, at) => {
          if (record === undefined) return;
          this.#around.found(record, walk, at);
          // Said once: those who do not hear it let the record expire.
          if (!own.withdrawn || record.sequence !== own.sequence) return;
          this.#withdrawnSequence = Math.max(this.#withdrawnSequence, own.sequence);
          this.#own.delete(nameOf(own.kind, own.key));
        },
      },
      now,
    );
  }

  #sign(own: Own, now: Instant): DirectoryRecord {
    const { publicKey, crypto } = this.#around;
    const issuedMs = Math.floor(this.#around.wallClock(now));
    // The clock was set back: by its time alone, what is signed now would be older than what was signed before.
    if (issuedMs < own.issuedMs) own.sequence++;
    own.issuedMs = issuedMs;
    return signRecord(own, publicKey, crypto);
  }
}

function nameOf(kind: number, key: Point): string {
  return `${kind} ${key}`;
}

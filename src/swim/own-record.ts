import type { CoreCrypto } from "../base/crypto.ts";
import { after, type Instant } from "../base/time.ts";
import { type MemberContent, type MemberRecord, signRecord } from "./record.ts";

/** What the own record needs of the node. */
export interface OwnRecordSurroundings {
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  /** Tell of it, from now on. */
  tell(record: MemberRecord, now: Instant): void;
  /** Whether it has been told as often as it takes. */
  isTold(): boolean;
}

/** Longest time for a farewell, also where nobody listens. */
const farewellMaxMs = 2_000;

/**
 * What this node says of itself. Whatever is new about it makes a record with a higher incarnation, also that it lives;
 * the last one is a farewell, unless the node comes back.
 */
export class OwnRecord {
  readonly #around: OwnRecordSurroundings;
  #record: MemberRecord;
  #farewellEnds: Instant | undefined;

  constructor(content: Pick<MemberContent, "name" | "address" | "metadata">, around: OwnRecordSurroundings) {
    this.#around = around;
    this.#record = this.#sign({ ...content, incarnation: 0, hasLeft: false });
  }

  get record(): MemberRecord {
    return this.#record;
  }

  deadline(): Instant | undefined {
    return this.#farewellEnds;
  }

  /** A record that is newer than the present one, and than `incarnation`, with whatever else is new about it. */
  renew(now: Instant, change: Partial<MemberContent> = {}, incarnation = 0): void {
    const last = Math.max(incarnation, this.#record.incarnation);
    if (last >= Number.MAX_SAFE_INTEGER) return;
    this.#record = this.#sign({ ...this.#record, ...change, incarnation: last + 1 });
    this.#around.tell(this.#record, now);
  }

  /** Says farewell, for as long as it takes to be heard. */
  leave(isAlone: boolean, now: Instant): void {
    this.renew(now, { hasLeft: true });
    this.#farewellEnds = after(now, isAlone ? 0 : farewellMaxMs);
  }

  return(now: Instant): void {
    this.#farewellEnds = undefined;
    this.renew(now, { hasLeft: false });
  }

  /** True once, when the farewell has been told. */
  farewellEnds(now: Instant): boolean {
    if (this.#farewellEnds === undefined) return false;
    if (now < this.#farewellEnds && !this.#around.isTold()) return false;
    this.#farewellEnds = undefined;
    return true;
  }

  #sign(content: MemberContent): MemberRecord {
    return signRecord(content, this.#around.publicKey, this.#around.crypto);
  }
}

import type { CoreCrypto } from "../../src/base/crypto.ts";
import { type NodeId, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at, type Instant } from "../../src/base/time.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import { type Accusation, signAccusation } from "../../src/swim/accusation.ts";
import { Swim, type SwimOptions, type SwimOutput } from "../../src/swim/index.ts";
import {
  decodePacket,
  encodePacket,
  type NewsItem,
  type Packet,
  type PacketHead,
} from "../../src/swim/packet.ts";
import { type MemberContent, type MemberRecord, signRecord } from "../../src/swim/record.ts";

/** Somebody with a real key of his own. */
export class Person {
  readonly name: string;
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  readonly id: NodeId;
  record: MemberRecord;

  constructor(name: string) {
    const { privateKey, publicKey } = identityCrypto.generateKeyPair();
    this.name = name;
    this.publicKey = publicKey;
    this.crypto = coreCrypto(privateKey);
    this.id = nodeIdFromBytes(this.crypto.sha256(publicKey));
    this.record = this.sign({});
  }

  /** A record of this person; from then on the present one. */
  sign(content: Partial<MemberContent>): MemberRecord {
    const whole = {
      name: `${this.name}@host:4433`,
      address: `${this.name}.example:4433`,
      metadata: new Uint8Array(),
      incarnation: 0,
      hasLeft: false,
    };
    this.record = signRecord({ ...whole, ...content }, this.publicKey, this.crypto);
    return this.record;
  }

  accuse(subject: { readonly id: NodeId; readonly record: MemberRecord }): Accusation {
    return signAccusation(subject.id, subject.record.incarnation, this.id, this.crypto);
  }
}

export function newsOf(...items: readonly (MemberRecord | Accusation)[]): NewsItem[] {
  return items.map((item) => ({ kind: "accuser" in item ? "accusation" : "record", bytes: item.bytes }));
}

/** A node under test, with a real key and a clock that the test moves. */
export class Subject {
  readonly person: Person;
  readonly swim: Swim;
  readonly seen: SwimOutput[] = [];
  now: Instant = at(0);

  constructor(options: SwimOptions = {}, person = new Person("subject")) {
    this.person = person;
    this.swim = new Swim(
      {
        publicKey: person.publicKey,
        crypto: person.crypto,
        random: seededRandom(1),
        name: "subject@host:4433",
        address: "subject.example:4433",
        options,
      },
      this.now,
    );
  }

  get id(): NodeId {
    return this.swim.id;
  }

  get record(): MemberRecord {
    return this.swim.record;
  }

  /** Gives it a packet and returns the datagrams that come of it. */
  hear(from: Person, head: PacketHead, ...items: readonly (MemberRecord | Accusation)[]): Sent[] {
    this.swim.handle(
      { type: "datagram", from: from.id, payload: encodePacket(head, newsOf(...items)) },
      this.now,
    );
    return this.drain();
  }

  gossip(from: Person, ...items: readonly (MemberRecord | Accusation)[]): Sent[] {
    return this.hear(from, { kind: "gossip" }, ...items);
  }

  /** Lets time pass, tick by tick. */
  pass(ms: number): Sent[] {
    const end = at(this.now + ms);
    const sent: Sent[] = [];
    for (let due = this.swim.deadline(); due !== undefined && due <= end; due = this.swim.deadline()) {
      this.now = due > this.now ? due : this.now;
      this.swim.handle({ type: "tick" }, this.now);
      sent.push(...this.drain());
    }
    this.now = end;
    return sent;
  }

  drain(): Sent[] {
    const sent: Sent[] = [];
    for (let output = this.swim.poll(); output !== undefined; output = this.swim.poll()) {
      this.seen.push(output);
      if (output.type === "datagram") sent.push({ to: output.to, ...decodePacket(output.payload) });
    }
    return sent;
  }

  /** The changes of the table so far, as `memberUp bob`. */
  news(): string[] {
    return this.seen.flatMap((output) =>
      "member" in output ? [`${output.type} ${output.member.name.split("@")[0]}`] : [],
    );
  }
}

export type Sent = Packet & { readonly to: NodeId };

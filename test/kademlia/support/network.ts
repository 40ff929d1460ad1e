import type { CoreCrypto } from "../../../src/base/crypto.ts";
import type { Point } from "../../../src/base/id-space.ts";
import { type NodeId, nodeIdFromBytes } from "../../../src/base/node-id.ts";
import { Queue } from "../../../src/base/queue.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { at } from "../../../src/base/time.ts";
import {
  type DirectoryRecord,
  Kademlia,
  type KademliaInput,
  type KademliaOptions,
  type KademliaOutput,
  resolveKademliaOptions,
} from "../../../src/kademlia/index.ts";
import { standInCrypto } from "../../../src/sim/index.ts";

export interface NetworkNode {
  readonly id: NodeId;
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  kademlia: Kademlia;
  /** Its wall clock is wrong by this. */
  clockMs: number;
  alive: boolean;
  group: number;
  readonly said: KademliaOutput[];
}

interface Sent {
  readonly due: number;
  readonly to: NodeId;
  readonly payload: Uint8Array;
  readonly from: NodeId;
}

/** Nodes whose membership is given; messages arrive in the order in which they were sent, 10 ms later. */
export class Network {
  readonly nodes: NetworkNode[] = [];
  readonly random: Random;
  now = 0;
  /** Answers in the place of a node that is hostile. */
  intercept:
    | ((
        node: NetworkNode,
        input: KademliaInput,
      ) => { to: NodeId; payload: Uint8Array; afterMs?: number } | undefined)
    | undefined;
  /** Nodes that are no members any more, and until when they are known. */
  readonly dead = new Map<NodeId, number>();
  readonly #byId = new Map<NodeId, NetworkNode>();
  readonly #options: Required<KademliaOptions>;
  readonly #queue = new Queue<{ readonly due: number; readonly to: NodeId; readonly input: KademliaInput }>();
  /** Answers that take longer than others; one at a time. */
  readonly #late: Sent[] = [];
  #token = 0;

  constructor(size: number, seed: number, options: KademliaOptions = {}) {
    this.random = seededRandom(seed);
    this.#options = resolveKademliaOptions(options);
    for (let count = 0; count < size; count++) this.#add();
    for (const node of this.nodes) {
      for (const other of this.nodes) this.tell(node, { type: "memberUp", id: other.id });
    }
  }

  pick(): NetworkNode {
    for (;;) {
      const node = this.nodes[this.random.integer(this.nodes.length)] as NetworkNode;
      if (node.alive) return node;
    }
  }

  point(): Point {
    return nodeIdFromBytes(this.random.bytes(32));
  }

  tell(node: NetworkNode, input: KademliaInput): void {
    if (!node.alive) return;
    const lie = this.intercept?.(node, input);
    if (lie !== undefined) {
      const { to, payload, afterMs = 10 } = lie;
      const late = { due: this.now + afterMs, to, payload, from: node.id };
      if (afterMs === 10) this.#send(late);
      else this.#late.push(late);
      return;
    }
    node.kademlia.handle(input, at(this.now));
    for (let output = node.kademlia.poll(); output !== undefined; output = node.kademlia.poll()) {
      if (output.type !== "send") {
        node.said.push(output);
        continue;
      }
      const { to, payload } = output;
      const target = this.#byId.get(to);
      if (target === undefined || target.group !== node.group) continue;
      this.#send({ due: this.now + 10, to, payload, from: node.id });
    }
  }

  run(forMs: number): void {
    const end = this.now + forMs;
    for (;;) {
      const late = this.#late[0];
      if (late !== undefined && this.#queue.length === 0) {
        this.#late.shift();
        this.#send(late);
      }
      const message = this.#queue.peek();
      let next = message?.due ?? Infinity;
      let waking: NetworkNode | undefined;
      // Few nodes have anything to wait for while messages are under way; all are looked at when there are none.
      if (message === undefined || message.due > this.now + 10) {
        for (const node of this.nodes) {
          const due = node.alive ? node.kademlia.deadline() : undefined;
          if (due === undefined || due >= next) continue;
          next = Math.max(due, this.now);
          waking = node;
        }
      }
      if (next > end) break;
      this.now = Math.max(this.now, next);
      if (waking !== undefined) {
        this.tell(waking, { type: "tick" });
      } else if (message !== undefined) {
        this.#queue.shift();
        const node = this.#byId.get(message.to);
        if (node !== undefined) this.tell(node, message.input);
      }
    }
    this.now = end;
  }

  /** A new life with nothing but the key, which hears of all others. */
  restart(node: NetworkNode): void {
    node.kademlia = this.#kademliaOf(node);
    for (const other of this.nodes) this.tell(node, { type: "memberUp", id: other.id });
  }

  publish(node: NetworkNode, key: Point, value: Uint8Array, kind = 1, ttlMs = 3_600_000): void {
    this.tell(node, { type: "publish", kind, key, value, ttlMs });
    this.run(20_000);
  }

  get(node: NetworkNode, key: Point): readonly DirectoryRecord[] {
    const token = this.#token++;
    this.tell(node, { type: "get", token, key });
    // No lookup takes longer than all its questions one after the other.
    for (let step = 0; step < 2_000; step++) {
      const found = node.said.find((each) => each.type === "found" && each.token === token);
      if (found?.type === "found") {
        node.said.length = 0;
        return found.records;
      }
      this.run(100);
    }
    throw new Error("a lookup without an end");
  }

  #send({ due, to, payload, from }: Sent): void {
    this.#queue.push({ due, to, input: { type: "message", from, via: from, payload } });
  }

  #add(): void {
    const publicKey = this.random.bytes(91);
    const crypto = standInCrypto(publicKey);
    const id = nodeIdFromBytes(crypto.sha256(publicKey));
    const node = { id, publicKey, crypto, clockMs: 0, alive: true, group: 0, said: [] };
    const whole = Object.assign(node, { kademlia: this.#kademliaOf(node) });
    this.nodes.push(whole);
    this.#byId.set(id, whole);
  }

  #kademliaOf(node: Pick<NetworkNode, "id" | "publicKey" | "crypto" | "clockMs">): Kademlia {
    return new Kademlia(
      {
        self: node.id,
        publicKey: node.publicKey,
        crypto: node.crypto,
        random: seededRandom(this.random.u32()),
        wallClock: (now) => 1_700_000_000_000 + node.clockMs + now,
        isMember: (each) => this.#byId.has(each) && !this.dead.has(each),
        isKnown: (each, now) => this.#byId.has(each) && now < (this.dead.get(each) ?? Infinity),
      },
      this.#options,
    );
  }
}

import type { CoreCrypto } from "../../../src/base/crypto.ts";
import { type NodeId, nodeIdFromBytes } from "../../../src/base/node-id.ts";
import { type Random, seededRandom } from "../../../src/base/random.ts";
import { at, earliest, type Instant } from "../../../src/base/time.ts";
import {
  type ConnectionNumber,
  type Ending,
  Handshake,
  Pool,
  type PoolOptions,
  type PoolOutput,
  resolveLinkOptions,
  resolvePoolOptions,
} from "../../../src/link/index.ts";

/** Signatures that anybody could forge, which is enough where nobody does. */
export function fakeCrypto(key: Uint8Array): CoreCrypto {
  const mac = (secret: Uint8Array, bytes: Uint8Array): Uint8Array => {
    const sum = new Uint8Array(64);
    for (const [index, byte] of [...secret, ...bytes].entries()) {
      sum[index % 64] = ((sum[index % 64] as number) * 31 + byte + index) & 0xff;
    }
    return sum;
  };
  return {
    sha256: (bytes) => mac(new Uint8Array(0), bytes).subarray(0, 32),
    sign: (bytes) => mac(key, bytes),
    verify: (publicKey, bytes, signature) =>
      mac(publicKey, bytes).every((byte, index) => byte === signature[index]),
  };
}

/** One end of a simulated connection. */
interface End {
  readonly node: WorldNode;
  readonly number: ConnectionNumber;
  readonly role: "dialler" | "listener";
  readonly handshake: Handshake;
  /** What the peer's side sent and this one has not seen: in its order. */
  readonly inbox: Packet[];
  peer: End | undefined;
  closed: boolean;
  name: string | undefined;
}

type Packet =
  | { readonly type: "established" }
  | { readonly type: "handshake"; readonly payload: Uint8Array }
  | { readonly type: "signal"; readonly signal: number }
  | { readonly type: "close"; readonly ending: Ending };

/** A node of nothing but a pool, handshakes, and numbers as signals. */
export class WorldNode {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly key: Uint8Array;
  readonly creation: number;
  readonly pool: Pool;
  readonly ends = new Map<ConnectionNumber, End>();
  /** Signals that wait for a link, by node. */
  readonly waiting = new Map<string, number[]>();
  readonly up = new Map<string, End>();
  readonly received: number[] = [];
  readonly history: string[] = [];
  reachable = true;

  constructor(name: string, id: number, creation: number, random: Random, options: PoolOptions = {}) {
    this.name = `${name}@host:1`;
    this.key = new Uint8Array(32).fill(id);
    this.nodeId = nodeIdFromBytes(this.key);
    this.creation = creation;
    this.pool = new Pool(this, resolvePoolOptions(options), random);
  }
}

/** A network of pools in which everything happens in an order that only the seed decides. */
export class World {
  readonly random: Random;
  readonly nodes: WorldNode[] = [];
  now: Instant = at(0);
  readonly #linkOptions = resolveLinkOptions();

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  add(name: string, id: number, creation = 1, options: PoolOptions = {}): WorldNode {
    const node = new WorldNode(name, id, creation, this.random, options);
    this.nodes.push(node);
    return node;
  }

  send(from: WorldNode, to: WorldNode, signal: number): void {
    const link = from.up.get(to.name);
    if (link !== undefined) {
      this.#deliver(link, { type: "signal", signal });
      return;
    }
    from.waiting.set(to.name, [...(from.waiting.get(to.name) ?? []), signal]);
    this.tell(from, { type: "want", name: to.name });
  }

  tell(node: WorldNode, input: Parameters<Pool["handle"]>[0]): void {
    node.pool.handle(input, this.now);
    for (let output = node.pool.poll(); output !== undefined; output = node.pool.poll())
      this.#carryOut(node, output);
  }

  /** One thing happens: a packet arrives, or, when none is under way, time passes. False when nothing is left. */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    const ready = this.nodes.flatMap((node) => [...node.ends.values()].filter((end) => end.inbox.length > 0));
    const end = ready[this.random.integer(Math.max(1, ready.length))];
    if (end !== undefined) {
      this.#arrive(end, end.inbox.shift() as Packet);
      return true;
    }
    let next: Instant | undefined;
    for (const node of this.nodes) {
      next = earliest(next, node.pool.deadline());
      for (const { handshake } of node.ends.values()) next = earliest(next, handshake.deadline());
    }
    if (next === undefined || next > untilMs) return false;
    this.now = at(Math.max(this.now, next));
    for (const node of this.nodes) {
      if ((node.pool.deadline() ?? Number.POSITIVE_INFINITY) <= this.now) this.tell(node, { type: "tick" });
      for (const each of [...node.ends.values()]) {
        if ((each.handshake.deadline() ?? Number.POSITIVE_INFINITY) > this.now) continue;
        each.handshake.handle({ type: "tick" }, this.now);
        this.#afterHandshake(each);
      }
    }
    return true;
  }

  run(untilMs = Number.POSITIVE_INFINITY): void {
    for (let steps = 0; this.step(untilMs); steps++) {
      if (steps > 100_000) throw new Error("the world does not come to rest");
    }
  }

  /** The node is gone from one moment to the next; `told`: its peers' engines notice. */
  kill(node: WorldNode, told: boolean): void {
    this.nodes.splice(this.nodes.indexOf(node), 1);
    for (const end of node.ends.values()) {
      end.closed = true;
      if (end.peer === undefined) continue;
      end.peer.inbox.length = 0;
      if (told) end.peer.inbox.push({ type: "close", ending: { code: "silent", reason: "gone" } });
    }
  }

  #carryOut(node: WorldNode, output: PoolOutput): void {
    const end = "connection" in output ? node.ends.get(output.connection) : undefined;
    switch (output.type) {
      case "dial":
        this.#dial(node, output.connection, output.name);
        break;
      case "admit":
        if (end === undefined) break;
        end.handshake.handle({ type: "admit" }, this.now);
        this.#afterHandshake(end);
        break;
      case "end":
      case "leave":
        if (end !== undefined) {
          this.#close(end, output.type === "end" ? output.ending : { code: "goodbye", reason: "leave" });
        }
        break;
      case "probe":
        // The peer's heartbeat answers when the peer still has the link, now or a little later.
        if (end?.peer !== undefined && !end.peer.closed)
          this.tell(node, { type: "alive", connection: end.number });
        break;
      case "up":
        node.history.push(`up ${output.peer.name}`);
        if (end === undefined) throw new Error("a link without a connection");
        node.up.set(output.peer.name, end);
        for (const signal of node.waiting.get(output.peer.name) ?? [])
          this.#deliver(end, { type: "signal", signal });
        node.waiting.delete(output.peer.name);
        break;
      case "down":
        node.history.push(`down ${output.peer.name}`);
        node.up.delete(output.peer.name);
        break;
      case "unreachable":
        node.history.push(`unreachable ${output.name} ${output.error.code}`);
        node.waiting.delete(output.name);
        break;
      default:
        output satisfies never;
    }
  }

  #dial(node: WorldNode, number: ConnectionNumber, name: string): void {
    const target = this.nodes.find((each) => each.name === name);
    if (target === undefined) {
      this.tell(node, {
        type: "closed",
        connection: number,
        ending: { code: "overloaded", reason: "refused" },
      });
      return;
    }
    const near = this.#end(node, number, "dialler", name);
    // Nothing comes back: the dial lasts until it times out.
    if (!target.reachable) return;
    const far = this.#end(target, target.pool.number(), "listener");
    near.peer = far;
    far.peer = near;
    near.inbox.push({ type: "established" });
    far.inbox.push({ type: "established" });
  }

  #end(node: WorldNode, number: ConnectionNumber, role: "dialler" | "listener", expectedName?: string): End {
    const { capabilities, handshakeTimeoutMs } = this.#linkOptions;
    const handshake = new Handshake(
      {
        role,
        self: node,
        capabilities,
        timeoutMs: handshakeTimeoutMs,
        random: this.random,
        crypto: fakeCrypto(node.key),
        ...(expectedName === undefined ? {} : { expectedName }),
      },
      this.now,
    );
    const end: End = {
      node,
      number,
      role,
      handshake,
      inbox: [],
      peer: undefined,
      closed: false,
      name: undefined,
    };
    node.ends.set(number, end);
    return end;
  }

  #arrive(end: End, packet: Packet): void {
    const { node, number, handshake, peer } = end;
    if (end.closed) return;
    switch (packet.type) {
      case "established": {
        if (peer === undefined) return;
        const other = { nodeId: peer.node.nodeId, publicKey: peer.node.key };
        if (end.role === "listener")
          this.tell(node, { type: "inbound", connection: number, address: peer.node.name });
        this.tell(node, { type: "established", connection: number, nodeId: other.nodeId });
        handshake.handle({ type: "established", peer: other }, this.now);
        handshake.handle({ type: "start" }, this.now);
        break;
      }
      case "handshake":
        handshake.handle({ type: "message", payload: packet.payload }, this.now);
        break;
      case "signal":
        // Signals may overtake the end of the handshake; a driver leaves their streams unread until then.
        if (node.up.get(end.name ?? "") === end) node.received.push(packet.signal);
        else throw new Error("a signal on a connection that is no link");
        return;
      case "close":
        end.closed = true;
        node.ends.delete(number);
        this.tell(node, { type: "closed", connection: number, ending: packet.ending });
        return;
      default:
        packet satisfies never;
    }
    this.#afterHandshake(end);
  }

  #afterHandshake(end: End): void {
    const { node, number, handshake } = end;
    for (let output = handshake.poll(); output !== undefined && !end.closed; output = handshake.poll()) {
      if (output.type === "send") this.#deliver(end, { type: "handshake", payload: output.payload });
      else if (output.type === "introduced") {
        this.tell(node, { type: "introduced", connection: number, peer: output.peer, early: output.early });
      } else if (output.type === "complete") {
        end.name = output.peer.name;
        this.tell(node, { type: "complete", connection: number, peer: output.peer });
      } else this.#close(end, output.ending);
    }
  }

  #deliver(end: End, packet: Packet): void {
    if (end.peer !== undefined && !end.peer.closed) end.peer.inbox.push(packet);
  }

  #close(end: End, ending: Ending): void {
    if (end.closed) return;
    end.closed = true;
    end.node.ends.delete(end.number);
    if (end.peer !== undefined) {
      // A close overtakes what was not delivered, sometimes.
      if (this.random.integer(2) === 0) end.peer.inbox.length = 0;
      this.#deliver(end, { type: "close", ending });
    }
    this.tell(end.node, { type: "closed", connection: end.number, ending });
  }
}

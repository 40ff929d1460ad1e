import type { NodeId } from "../src/base/node-id.ts";
import { Queue } from "../src/base/queue.ts";
import { earliest, type Instant } from "../src/base/time.ts";
import {
  Kademlia,
  type KademliaInput,
  type KademliaOutput,
  resolveKademliaOptions,
} from "../src/kademlia/index.ts";
import { Members, Ring, type RingInput, resolveRingOptions } from "../src/ring/index.ts";
import {
  Channels,
  type ChannelsInput,
  Forwarder,
  type ForwarderInput,
  packetProtocol,
  resolveChannelsOptions,
  resolveForwarderOptions,
} from "../src/routing/index.ts";
import type { HostContext, HostInput, HostOutput, SimulatedHost } from "../src/sim/index.ts";
import { decodeFrame, encodeFrame, frameType } from "../src/wire/index.ts";
import { standInSeal } from "./stand-in-seal.ts";

/** What a simulation wants to know. */
export interface RoutesWatcher {
  addressOf(id: NodeId): string;
  delivered(by: NodeId, from: NodeId, message: Uint8Array): void;
  /** Something sent to `to`. */
  lost(by: NodeId, to: NodeId): void;
  /** FORWARD leaves `by`: the invariant is checked at every step. */
  forwarded(by: NodeId, to: NodeId, payload: Uint8Array): void;
  /** A packet has reached its target over so many links. */
  arrived(hops: number): void;
  directory(by: NodeId, output: KademliaOutput): void;
  /** Ids that exist. */
  isMember(id: NodeId): boolean;
}

/**
 * Ring, directory, forwarding and channels of one node, without membership: who the members are is given, so that ten
 * thousand of them fit into a simulation.
 */
export class RoutesHost implements SimulatedHost {
  readonly id: NodeId;
  readonly ring: Ring;
  readonly forwarder: Forwarder;
  readonly channels: Channels;
  readonly kademlia: Kademlia;
  readonly links = new Set<NodeId>();
  readonly #watcher: RoutesWatcher;
  readonly #outputs = new Queue<HostOutput>();
  readonly #unsettled = new Set<NodeId>();

  constructor(context: HostContext, watcher: RoutesWatcher, members = new Members()) {
    this.id = context.id;
    this.#watcher = watcher;
    this.ring = new Ring(context.id, resolveRingOptions(), context.random, members);
    this.forwarder = new Forwarder(context.id, resolveForwarderOptions());
    const seal = standInSeal(context.publicKey, context.random);
    this.channels = new Channels(resolveChannelsOptions(), seal, context.random);
    this.kademlia = new Kademlia(
      {
        self: context.id,
        publicKey: context.publicKey,
        crypto: context.crypto,
        random: context.random,
        wallClock: (now) => 1_700_000_000_000 + now,
        isMember: (id) => watcher.isMember(id),
        isKnown: (id) => watcher.isMember(id),
      },
      resolveKademliaOptions(),
    );
  }

  handle(input: HostInput, now: Instant): void {
    switch (input.type) {
      case "tick":
        this.#toRing({ type: "tick" }, now);
        this.#toChannels({ type: "tick" }, now);
        this.#toKademlia({ type: "tick" }, now);
        break;
      case "linkUp":
        this.links.add(input.peer);
        this.#toForwarder({ type: "linkUp", id: input.peer }, now);
        this.#toRing({ type: "linkUp", id: input.peer }, now);
        break;
      case "linkDown":
        this.links.delete(input.peer);
        this.#toForwarder({ type: "linkDown", id: input.peer }, now);
        this.#toRing({ type: "linkDown", id: input.peer }, now);
        break;
      case "message":
        this.#onMessage(input.from, input.bytes, now);
        break;
      default:
        break;
    }
  }

  poll(): HostOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return earliest(earliest(this.ring.deadline(), this.channels.deadline()), this.kademlia.deadline());
  }

  member(id: NodeId, up: boolean, now: Instant): void {
    this.#toRing({ type: up ? "memberUp" : "memberDown", id }, now);
    this.#toKademlia({ type: up ? "memberUp" : "memberDown", id }, now);
    if (!up) this.#toChannels({ type: "memberDown", id }, now);
  }

  send(to: NodeId, message: Uint8Array, now: Instant): void {
    // What follows something that is under way goes after it, or it could overtake.
    if (this.links.has(to) && !this.#unsettled.has(to)) {
      this.#message(to, frameType.send, message);
      return;
    }
    this.#unsettled.add(to);
    this.#toChannels({ type: "send", to, token: 0, message }, now);
  }

  directory(input: KademliaInput, now: Instant): void {
    this.#toKademlia(input, now);
  }

  #onMessage(from: NodeId, bytes: Uint8Array, now: Instant): void {
    const decoded = decodeFrame(bytes);
    if (decoded.result !== "frame") return;
    const { type, payload } = decoded.frame;
    if (type === frameType.linkUse) this.#toRing({ type: "linkUse", from, payload }, now);
    else if (type === frameType.forward) this.#toForwarder({ type: "forward", from, payload }, now);
    else if (type === frameType.busy) this.#toForwarder({ type: "busy", from }, now);
    else this.#watcher.delivered(this.id, from, payload);
  }

  #message(to: NodeId, type: number, payload: Uint8Array): void {
    this.#outputs.push({ type: "message", to, bytes: encodeFrame(type, payload) });
  }

  #toRing(input: RingInput, now: Instant): void {
    this.ring.handle(input, now);
    for (let output = this.ring.poll(); output !== undefined; output = this.ring.poll()) {
      if (output.type === "linkUse") this.#message(output.to, frameType.linkUse, output.payload);
      else if (output.type === "dropLink") this.#outputs.push({ type: "dropLink", peer: output.id });
      else
        this.#outputs.push({
          type: "wantLink",
          peer: output.id,
          address: this.#watcher.addressOf(output.id),
        });
    }
  }

  #toForwarder(input: ForwarderInput, now: Instant): void {
    this.forwarder.handle(input, now);
    for (let output = this.forwarder.poll(); output !== undefined; output = this.forwarder.poll()) {
      if (output.type === "forward") {
        this.#watcher.forwarded(this.id, output.to, output.payload);
        this.#message(output.to, frameType.forward, output.payload);
      } else if (output.type === "busy") {
        this.#message(output.to, frameType.busy, new Uint8Array(0));
      } else if (output.type === "undeliverable") {
        this.#toKademlia({ type: "unreachable", id: output.target }, now);
        this.#toChannels(output, now);
      } else if (output.protocol === packetProtocol.channel) {
        this.#watcher.arrived(output.visited.length);
        this.#toChannels({ ...output, type: "packet" }, now);
      } else {
        this.#toKademlia(
          { type: "message", from: output.source, via: output.via, payload: output.payload },
          now,
        );
      }
    }
  }

  #toChannels(input: ChannelsInput, now: Instant): void {
    this.channels.handle(input, now);
    for (let output = this.channels.poll(); output !== undefined; output = this.channels.poll()) {
      switch (output.type) {
        case "packet": {
          const { to, payload, variant } = output;
          this.#toForwarder(
            { type: "send", target: to, protocol: packetProtocol.channel, payload, variant },
            now,
          );
          break;
        }
        case "deliver":
          this.#watcher.delivered(this.id, output.from, output.message);
          break;
        case "reset":
          // There are no sealed datagrams here; the message is given up in time.
          break;
        case "settled":
          this.#unsettled.delete(output.to);
          break;
        default:
          this.#watcher.lost(this.id, output.to);
      }
    }
  }

  #toKademlia(input: KademliaInput, now: Instant): void {
    this.kademlia.handle(input, now);
    for (let output = this.kademlia.poll(); output !== undefined; output = this.kademlia.poll()) {
      if (output.type !== "send") {
        this.#watcher.directory(this.id, output);
        continue;
      }
      const { to, payload } = output;
      this.#toForwarder({ type: "send", target: to, protocol: packetProtocol.datagram, payload }, now);
    }
  }
}

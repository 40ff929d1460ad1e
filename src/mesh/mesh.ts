import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { earliest, type Instant } from "../base/time.ts";
import { Kademlia, type KademliaInput, resolveKademliaOptions } from "../kademlia/index.ts";
import { Ring, type RingInput, resolveRingOptions } from "../ring/index.ts";
import {
  Channels,
  type ChannelsInput,
  type Delivery,
  Forwarder,
  type ForwarderInput,
  markOf,
  packetProtocol,
  resolveChannelsOptions,
  resolveForwarderOptions,
} from "../routing/index.ts";
import {
  type MembershipNews,
  type MemberView,
  Swim,
  type SwimInput,
  type SwimOutput,
} from "../swim/index.ts";
import { frameType } from "../wire/index.ts";
import { Boxes } from "./boxes.ts";
import { MemberNames } from "./member-names.ts";
import type { MeshInput, MeshOutput } from "./messages.ts";
import type { MeshSetup } from "./setup.ts";
import { Traces } from "./traces.ts";

/** Ways that datagrams to a suspect are spread over. */
const variants = 8;

const tick = { type: "tick" } as const;
const nothing = new Uint8Array(0);

/**
 * One node's part in the mesh: membership, ring, directory, forwarding and channels, put together. Each of them is a machine that knows
 * nothing of the others; here the outputs of one become inputs of the others, and frames find the one they are for.
 *
 * It decides which links are wanted and what is sent by them; making them, and what processes say by them, is not its business.
 */
export class Mesh implements Machine<MeshInput, MeshOutput> {
  readonly id: NodeId;
  readonly swim: Swim;
  readonly ring: Ring;
  readonly kademlia: Kademlia;
  readonly forwarder: Forwarder;
  readonly channels: Channels;
  readonly #names = new MemberNames();
  readonly #boxes: Boxes;
  readonly #traces: Traces;
  readonly #random: Random;
  /** Whose probe is being answered, and by which way it came. */
  #answering: { readonly to: NodeId; readonly variant: number } | undefined;
  readonly #links = new Set<NodeId>();
  /** Links that an exchange of memberships needs. */
  readonly #exchanging = new Set<NodeId>();
  readonly #outputs = new Queue<MeshOutput>();
  /** Asked for after each input, of which most are packets passed on and change nothing. */
  #deadline: Instant | undefined;
  #isDeadlineKnown = false;
  readonly #counters = { forged: 0, malformed: 0, strangers: 0, unsealable: 0, namesakes: 0 };

  constructor(setup: MeshSetup, now: Instant) {
    const { crypto, random, publicKey, seal, wallClock, options = {} } = setup;
    const { options: _parts, ...member } = setup;
    this.swim = new Swim({ ...member, ...(options.swim && { options: options.swim }) }, now);
    this.id = this.swim.id;
    this.ring = new Ring(this.id, resolveRingOptions(options.ring), random);
    this.kademlia = new Kademlia(
      {
        self: this.id,
        publicKey,
        crypto,
        random,
        wallClock,
        isMember: (id) => this.swim.isMember(id),
        isKnown: (id, at) => this.swim.isKnown(id, at),
      },
      resolveKademliaOptions(options.kademlia),
    );
    this.forwarder = new Forwarder(this.id, resolveForwarderOptions(options.forwarder), (id) =>
      this.swim.isMember(id),
    );
    this.channels = new Channels(resolveChannelsOptions(options.channels), seal, random);
    this.#boxes = new Boxes(this.id, seal, random, (id) => this.swim.recordOf(id)?.publicKey);
    this.#random = random;
    this.#traces = new Traces(random, (token, result) =>
      this.#outputs.push({ type: "traced", token, result }),
    );
    this.#names.add(this.id, setup.name);
  }

  /** `forged`, `malformed`: boxes; `strangers`: packets of channels by nodes that are no members; `unsealable`: datagrams for nodes whose key is not known; `namesakes`: members with another's name. */
  get counters(): Readonly<
    Record<"forged" | "malformed" | "strangers" | "unsealable" | "namesakes", number>
  > {
    return this.#counters;
  }

  /** The living member called so, this node included. */
  idOf(name: string): NodeId | undefined {
    return this.#names.idOf(name);
  }

  member(id: NodeId): MemberView | undefined {
    return id === this.id ? this.swim.self : this.swim.member(id);
  }

  /** Links that it knows of. */
  get linksCount(): number {
    return this.#links.size;
  }

  isLinked(id: NodeId): boolean {
    return this.#links.has(id);
  }

  handle(input: MeshInput, now: Instant): void {
    switch (input.type) {
      case "tick":
        this.#onTick(now);
        break;
      case "datagram":
        this.#onDatagram(input.from, input.frameType, input.payload, now);
        break;
      case "frame":
        this.#onFrame(input.from, input.frameType, input.payload, now);
        break;
      case "linkUp":
        this.#onLinkUp(input.id, input.address, now);
        break;
      case "linkDown":
        this.#onLinkDown(input.id, input.reason, now);
        break;
      case "linkFull":
      case "linkReady":
        this.#toForwarder(input, now);
        break;
      case "reached":
        this.#toSwim({ type: "linkUp", peer: input.id, address: input.address }, now);
        break;
      case "unreached":
        if (input.id !== undefined) this.#exchanging.delete(input.id);
        this.#toSwim({ type: "linkFailed", peer: input.id, address: input.address }, now);
        break;
      case "hold":
        this.#toRing(input, now);
        break;
      case "send":
        this.#toChannels(input, now);
        break;
      case "pause":
        this.#toChannels({ type: "pause", from: input.id, paused: input.paused }, now);
        break;
      case "join":
      case "leave":
      case "update":
      case "loopDelay":
        this.#toSwim(input, now);
        break;
      case "directory":
        this.#toKademlia(input.input, now);
        break;
      case "trace":
        this.#onTrace(input.token, input.target, now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): MeshOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    if (!this.#isDeadlineKnown) {
      this.#isDeadlineKnown = true;
      this.#deadline = this.#traces.deadline();
      for (const part of [this.swim, this.ring, this.kademlia, this.channels])
        this.#deadline = earliest(this.#deadline, part.deadline());
    }
    return this.#deadline;
  }

  #onTick(now: Instant): void {
    if (isDue(this.swim, now)) this.#toSwim(tick, now);
    if (isDue(this.ring, now)) this.#toRing(tick, now);
    if (isDue(this.kademlia, now)) this.#toKademlia(tick, now);
    if (isDue(this.channels, now)) this.#toChannels(tick, now);
    this.#traces.tick(now);
    this.#isDeadlineKnown = false;
  }

  #onLinkUp(id: NodeId, address: string, now: Instant): void {
    this.#links.add(id);
    this.#toForwarder({ type: "linkUp", id }, now);
    const state = this.swim.member(id)?.state ?? "alive";
    if (state !== "alive") this.#toForwarder({ type: "doubt", id, doubted: true }, now);
    this.#toRing({ type: "linkUp", id }, now);
    this.#toSwim({ type: "linkUp", peer: id, address }, now);
  }

  #onLinkDown(id: NodeId, reason: "retired" | "closed" | "lost", now: Instant): void {
    this.#links.delete(id);
    this.#exchanging.delete(id);
    this.#toForwarder({ type: "linkDown", id }, now);
    this.#toRing({ type: "linkDown", id, avoid: reason === "closed" }, now);
    this.#toSwim({ type: "linkDown", peer: id, reason: reason === "lost" ? "lost" : "closed" }, now);
  }

  // What comes in.

  #onDatagram(from: NodeId, type: number, payload: Uint8Array, now: Instant): void {
    if (type === frameType.probe) this.#toSwim({ type: "datagram", from, payload }, now);
    else this.#counters.malformed++;
  }

  #onFrame(from: NodeId, type: number, payload: Uint8Array, now: Instant): void {
    switch (type) {
      case frameType.members:
        this.#toSwim({ type: "message", from, payload }, now);
        break;
      case frameType.linkUse:
        this.#toRing({ type: "linkUse", from, payload }, now);
        break;
      case frameType.forward:
        this.#toForwarder({ type: "forward", from, payload }, now);
        break;
      case frameType.busy:
        this.#toForwarder({ type: "busy", from }, now);
        break;
      case frameType.lookup:
        this.#toKademlia({ type: "message", from, via: from, payload }, now);
        break;
      default:
        this.#counters.malformed++;
    }
  }

  #onDelivery(delivery: Delivery, now: Instant): void {
    const { source, via, protocol, payload } = delivery;
    if (protocol === packetProtocol.channel) {
      // Threat: OPENs by nodes that somebody has made up, each with a key of its own.
      if (this.swim.isMember(source)) this.#toChannels({ type: "packet", source, via, payload }, now);
      else this.#counters.strangers++;
    } else if (protocol === packetProtocol.datagram) this.#onBox(delivery, now);
    else this.#counters.malformed++;
  }

  #onBox({ source, via, payload: box, visited, variant }: Delivery, now: Instant): void {
    const opened = this.#boxes.open(source, box);
    if (opened === undefined) {
      this.#counters.forged++;
      return;
    }
    const { type, payload } = opened;
    if (type === frameType.probe) {
      this.#answering = { to: source, variant };
      this.#toSwim({ type: "datagram", from: source, payload }, now);
      this.#answering = undefined;
    } else if (type === frameType.lookup)
      this.#toKademlia({ type: "message", from: source, via, payload }, now);
    else if (type === frameType.reset)
      this.#toChannels({ type: "reset", from: source, channel: payload }, now);
    else if (type === frameType.trace) this.#onTraceMessage(source, payload, visited, now);
    else this.#counters.malformed++;
  }

  // Passing on.

  #toSwim(input: SwimInput, now: Instant): void {
    this.#isDeadlineKnown = false;
    this.swim.handle(input, now);
    for (let output = this.swim.poll(); output !== undefined; output = this.swim.poll())
      this.#fromSwim(output, now);
  }

  #fromSwim(output: SwimOutput, now: Instant): void {
    switch (output.type) {
      case "datagram":
        this.#sendDatagram(output.to, output.payload, now);
        break;
      case "message":
        this.#sendFrame(output.to, frameType.members, output.payload);
        break;
      case "wantLink":
        if (output.peer !== undefined) this.#exchanging.add(output.peer);
        this.#outputs.push({ type: "wantLink", id: output.peer, address: output.address });
        break;
      case "dropLink":
        this.#exchanging.delete(output.peer);
        break;
      case "farewellTold":
        this.#outputs.push(output);
        break;
      default:
        this.#onNews(output, now);
    }
  }

  #onNews(news: MembershipNews, now: Instant): void {
    const { id, name, state } = news.member;
    const isLiving = state === "alive" || state === "suspect";
    if (!isLiving) this.#names.delete(id);
    else if (this.#names.add(id, name)) this.#counters.namesakes++;
    this.#outputs.push(news);
    // A link to a node that is gone takes seconds to be noticed; what it would carry meanwhile is lost.
    this.#toForwarder({ type: "doubt", id, doubted: state !== "alive" }, now);
    if (news.type !== "memberUp" && news.type !== "memberDown") return;
    this.#toRing({ type: news.type, id }, now);
    this.#toKademlia({ type: news.type, id }, now);
    if (news.type === "memberDown") this.#toChannels({ type: "memberDown", id }, now);
  }

  #toRing(input: RingInput, now: Instant): void {
    this.#isDeadlineKnown = false;
    this.ring.handle(input, now);
    for (let output = this.ring.poll(); output !== undefined; output = this.ring.poll()) {
      if (output.type === "linkUse") {
        this.#sendFrame(output.to, frameType.linkUse, output.payload);
      } else if (output.type === "wantLink") {
        const address = this.swim.recordOf(output.id)?.address;
        if (address !== undefined) this.#outputs.push({ ...output, address });
      } else if (!this.#exchanging.has(output.id)) this.#outputs.push(output);
    }
  }

  #toForwarder(input: ForwarderInput, now: Instant): void {
    this.forwarder.handle(input, now);
    for (let output = this.forwarder.poll(); output !== undefined; output = this.forwarder.poll()) {
      switch (output.type) {
        case "forward":
          this.#sendFrame(output.to, frameType.forward, output.payload);
          break;
        case "busy":
          this.#sendFrame(output.to, frameType.busy, nothing);
          break;
        case "undeliverable":
          this.#toKademlia({ type: "unreachable", id: output.target }, now);
          this.#toChannels(output, now);
          this.#traces.onFailure(output.reason, output.mark, output.by);
          break;
        default:
          this.#onDelivery(output, now);
      }
    }
  }

  #toChannels(input: ChannelsInput, now: Instant): void {
    this.#isDeadlineKnown = false;
    this.channels.handle(input, now);
    for (let output = this.channels.poll(); output !== undefined; output = this.channels.poll()) {
      if (output.type === "packet") {
        const { to: target, payload, variant } = output;
        const protocol = packetProtocol.channel;
        this.#toForwarder({ type: "send", target, protocol, payload, variant }, now);
      } else if (output.type === "reset") this.#sendBox(output.to, frameType.reset, output.channel, now);
      else if (output.type === "lost" || output.type === "refused")
        this.#outputs.push({ type: "lost", to: output.to, token: output.token });
      else this.#outputs.push(output);
    }
  }

  #toKademlia(input: KademliaInput, now: Instant): void {
    this.#isDeadlineKnown = false;
    this.kademlia.handle(input, now);
    for (let output = this.kademlia.poll(); output !== undefined; output = this.kademlia.poll()) {
      if (output.type !== "send") this.#outputs.push({ type: "directory", output });
      else if (this.#links.has(output.to)) this.#sendFrame(output.to, frameType.lookup, output.payload);
      else this.#sendBox(output.to, frameType.lookup, output.payload, now);
    }
  }

  #sendFrame(to: NodeId, type: number, payload: Uint8Array): void {
    this.#outputs.push({ type: "frame", to, frameType: type, payload });
  }

  /** Over the link if there is one, else forwarded. */
  #sendDatagram(to: NodeId, payload: Uint8Array, now: Instant): void {
    if (this.#links.has(to))
      this.#outputs.push({ type: "datagram", to, frameType: frameType.probe, payload });
    else this.#sendBox(to, frameType.probe, payload, now);
  }

  #sendBox(to: NodeId, type: number, payload: Uint8Array, now: Instant): Uint8Array | undefined {
    const box = this.#boxes.seal(to, type, payload);
    if (box === undefined) this.#counters.unsealable++;
    else {
      const protocol = packetProtocol.datagram;
      this.#toForwarder(
        { type: "send", target: to, protocol, payload: box, variant: this.#variantFor(to) },
        now,
      );
    }
    return box;
  }

  /** Whoever does not answer may be well, and the way to it not: each time another, and another back. */
  #variantFor(to: NodeId): number {
    if (this.#answering?.to === to && this.#answering.variant > 0) return this.#answering.variant;
    return this.swim.member(to)?.state === "suspect" ? this.#random.integer(variants) : 0;
  }

  // Traces.

  #onTrace(token: number, target: NodeId, now: Instant): void {
    this.#isDeadlineKnown = false;
    const { id, payload } = this.#traces.begin(token, target, now);
    const box = this.#boxes.seal(target, frameType.trace, payload);
    if (box === undefined) return;
    this.#traces.sent(id, markOf(box));
    const protocol = packetProtocol.datagram;
    this.#toForwarder({ type: "send", target, protocol, payload: box }, now);
  }

  #onTraceMessage(from: NodeId, payload: Uint8Array, visited: Delivery["visited"], now: Instant): void {
    try {
      const answer = this.#traces.handle(from, payload, visited, now);
      if (answer !== undefined) this.#sendBox(from, frameType.trace, answer, now);
    } catch {
      this.#counters.malformed++;
    }
  }
}

function isDue(part: { deadline(): Instant | undefined }, now: Instant): boolean {
  return (part.deadline() ?? Infinity) <= now;
}

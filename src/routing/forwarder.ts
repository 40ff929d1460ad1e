import { type Position, positionOf, ringDistance, xorDistance } from "../base/id-space.ts";
import type { Machine } from "../base/machine.ts";
import type { NodeId } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import { after, at, type Instant } from "../base/time.ts";
import type { ForwarderOptions } from "./options.ts";
import {
  decodeFailure,
  decodePacket,
  encodeFailure,
  encodePacket,
  type Failure,
  type FailureReason,
  markOf,
  type Packet,
  packetBytes,
  packetProtocol,
  passOn,
} from "./packet.ts";

export type ForwarderInput =
  | { readonly type: "linkUp"; readonly id: NodeId }
  | { readonly type: "linkDown"; readonly id: NodeId }
  /** The link takes no more for the time being, or does again. */
  | { readonly type: "linkFull"; readonly id: NodeId }
  | { readonly type: "linkReady"; readonly id: NodeId }
  /** The other end of the link may be gone: other links are taken while there are any that qualify. Or it is there after all. */
  | { readonly type: "doubt"; readonly id: NodeId; readonly doubted: boolean }
  /** Something of this node for `target`. `variant`, 0 … 255, default 0: higher ones take other ways. */
  | {
      readonly type: "send";
      readonly target: NodeId;
      readonly protocol: number;
      readonly payload: Uint8Array;
      readonly variant?: number;
    }
  /** FORWARD arrived over the link to `from`. */
  | { readonly type: "forward"; readonly from: NodeId; readonly payload: Uint8Array }
  /** BUSY arrived over the link to `from`. */
  | { readonly type: "busy"; readonly from: NodeId };

export type ForwarderOutput =
  /** Send FORWARD over the link to `to`. */
  | { readonly type: "forward"; readonly to: NodeId; readonly payload: Uint8Array }
  /** Send BUSY over the link to `to`. */
  | { readonly type: "busy"; readonly to: NodeId }
  | Delivery
  /** A packet of ours was not delivered, says `by`: a hint, not proof. */
  | ({ readonly type: "undeliverable"; readonly by: NodeId } & Failure);

/** Somebody's packet for this node. */
export interface Delivery {
  readonly type: "deliver";
  /** What the packet says; nobody has proven it. */
  readonly source: NodeId;
  /** The link it came by; this node itself for what it sends to itself. */
  readonly via: NodeId;
  readonly protocol: number;
  /** Above 0 its sender tries other ways: what answers it should, too. */
  readonly variant: number;
  /** May be a view of the input. */
  readonly payload: Uint8Array;
  /** The nodes it has left, its source first, if nobody on the way lied: as many as links crossed. */
  readonly visited: readonly Position[];
}

interface LinkState {
  readonly id: NodeId;
  readonly position: Position;
  full: boolean;
  doubted: boolean;
  /** Packets that wait for the link, and their bytes. */
  readonly waiting: Queue<Packet>;
  waitingBytes: number;
  /** Until then the other end has nowhere to go with what we send it. */
  busyUntil: Instant;
  /** Until then the other end knows that we are busy. */
  toldUntil: Instant;
}

const never = at(Number.NEGATIVE_INFINITY);
/** Steps of a packet, at most, that lead nearer to its target neither by XOR nor along the ring. */
const detoursMax = 3;
/** Among how many of the best links the variants of a packet are spread. */
const variantsMax = 4;

/**
 * Passes messages on, link by link, towards the node that they are for.
 *
 * Greedy: of the links that lead nearer to the target by XOR than any node visited so far, the nearest; with a link into each
 * bucket there is one. Without (a local minimum) the way out is the ring: of the links nearer along the ring than this
 * node, the nearest, and greedy again from the first node that is nearer by XOR than all before. As long as each node
 * has its neighbours on the ring, that arrives. Where it has not (NATs), a packet may take a few steps that lead no nearer.
 * Repetitions (`variant`) leave their source by other links, also by one that leads farther away.
 *
 * A packet lists the nodes that it has visited and goes to none of them again, however the links change meanwhile. It
 * ends, too: it can come nearer by XOR, and between two such steps nearer along the ring, so many times only. Relays that
 * falsify the list can make a circle; the hop limit ends those that leave its length alone.
 *
 * What a full link does not take waits, up to a bound. Beyond it the packet is refused: its sender hears `busy`, and so
 * does the neighbour it came from, which takes its other links for a moment and, when it has none that qualify, refuses in
 * turn: so pressure moves back hop by hop. To hold packets until there is room would lose none, and would stand still
 * for ever once full nodes wait for each other in a circle.
 */
export class Forwarder implements Machine<ForwarderInput, ForwarderOutput> {
  readonly #self: NodeId;
  readonly #position: Position;
  readonly #options: Required<ForwarderOptions>;
  readonly #isAlive: (id: NodeId) => boolean;
  readonly #outputs = new Queue<ForwarderOutput>();
  readonly #links = new Map<NodeId, LinkState>();
  #waitingBytes = 0;
  readonly #counters = { forwarded: 0, delivered: 0, noRoute: 0, busy: 0, malformed: 0, unanswered: 0 };

  /** @param isAlive whether it is worth while to look for ways round to the node, for others. */
  constructor(
    self: NodeId,
    options: Required<ForwarderOptions>,
    isAlive: (id: NodeId) => boolean = () => true,
  ) {
    this.#self = self;
    this.#position = positionOf(self);
    this.#options = options;
    this.#isAlive = isAlive;
  }

  /** Bytes that wait for full links. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** Packets so far; `unanswered`: failures of failures, which nobody is told. */
  get counters(): Readonly<
    Record<"forwarded" | "delivered" | "noRoute" | "busy" | "malformed" | "unanswered", number>
  > {
    return this.#counters;
  }

  /** The link that a packet for `target` would leave by now; `undefined` when there is none. */
  nextHop(target: NodeId, now: Instant): NodeId | undefined {
    const link = this.#next({ target, variant: 0, visited: [] }, now);
    return typeof link === "string" ? undefined : link.id;
  }

  handle(input: ForwarderInput, now: Instant): void {
    switch (input.type) {
      case "linkUp":
        this.#onLinkUp(input.id);
        break;
      case "linkDown":
        this.#onLinkDown(input.id, now);
        break;
      case "linkFull":
        this.#onLinkFull(input.id);
        break;
      case "linkReady":
        this.#onLinkReady(input.id);
        break;
      case "doubt":
        this.#onDoubt(input.id, input.doubted);
        break;
      case "send":
        this.#onSend(input, now);
        break;
      case "forward":
        this.#onForward(input.from, input.payload, now);
        break;
      case "busy":
        this.#onBusy(input.from, now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): ForwarderOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): undefined {
    return undefined;
  }

  /** A link that takes the place of another is ready for what waited for that. */
  #onLinkUp(id: NodeId): void {
    if (this.#links.has(id)) this.#onLinkReady(id);
    else this.#links.set(id, newLink(id));
  }

  #onLinkDown(id: NodeId, now: Instant): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    this.#links.delete(id);
    this.#waitingBytes -= link.waitingBytes;
    // What had not left yet takes another way.
    for (let packet = link.waiting.shift(); packet !== undefined; packet = link.waiting.shift()) {
      this.#route(packet, undefined, now);
    }
  }

  #onLinkFull(id: NodeId): void {
    const link = this.#links.get(id);
    if (link !== undefined) link.full = true;
  }

  /** All that waits goes at once: a link that fills again says so, and takes what it is given meanwhile. */
  #onLinkReady(id: NodeId): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.full = false;
    this.#waitingBytes -= link.waitingBytes;
    link.waitingBytes = 0;
    for (let packet = link.waiting.shift(); packet !== undefined; packet = link.waiting.shift()) {
      this.#pass(packet, id);
    }
  }

  #onDoubt(id: NodeId, doubted: boolean): void {
    const link = this.#links.get(id);
    if (link !== undefined) link.doubted = doubted;
  }

  #onBusy(from: NodeId, now: Instant): void {
    const link = this.#links.get(from);
    if (link !== undefined) link.busyUntil = after(now, this.#options.busyMs);
  }

  #onSend(input: Extract<ForwarderInput, { type: "send" }>, now: Instant): void {
    const packet: Packet = {
      protocol: input.protocol,
      variant: input.variant ?? 0,
      visited: [],
      target: input.target,
      source: this.#self,
      payload: input.payload,
    };
    if (packet.target === this.#self) this.#deliver(packet, this.#self);
    else this.#route(packet, undefined, now);
  }

  #onForward(from: NodeId, payload: Uint8Array, now: Instant): void {
    let packet: Packet;
    try {
      packet = decodePacket(payload);
    } catch {
      this.#counters.malformed++;
      return;
    }
    if (packet.payload.length > this.#options.payloadBytesMax) {
      this.#counters.malformed++;
      return;
    }
    if (packet.target === this.#self) this.#deliver(packet, from);
    else this.#route(packet, from, now, payload);
  }

  #deliver({ source, protocol, variant, payload, visited }: Packet, via: NodeId): void {
    this.#counters.delivered++;
    if (protocol !== packetProtocol.failure) {
      this.#outputs.push({ type: "deliver", source, via, protocol, variant, payload, visited });
      return;
    }
    try {
      this.#outputs.push({ type: "undeliverable", by: source, ...decodeFailure(payload) });
    } catch {
      this.#counters.malformed++;
    }
  }

  /** @param encoded the packet as it came, if it did. */
  #route(packet: Packet, from: NodeId | undefined, now: Instant, encoded?: Uint8Array): void {
    const link = packet.visited.length >= this.#options.hopsMax ? "no_route" : this.#next(packet, now);
    if (typeof link === "string") {
      this.#refuse(packet, link, from, now);
      return;
    }
    if (from !== undefined) this.#counters.forwarded++;
    if (!link.full) {
      this.#pass(packet, link.id, encoded);
      return;
    }
    // What came in belongs to whoever read it from the link.
    link.waiting.push({ ...packet, payload: packet.payload.slice() });
    link.waitingBytes += packetBytes(packet);
    this.#waitingBytes += packetBytes(packet);
  }

  /** Hot path: most packets only pass through, and are copied as they came. */
  #pass(packet: Packet, to: NodeId, encoded?: Uint8Array): void {
    const payload =
      encoded === undefined
        ? encodePacket({ ...packet, visited: [...packet.visited, this.#position] })
        : passOn(encoded, this.#position);
    this.#outputs.push({ type: "forward", to, payload });
  }

  /** The link to take, or why there is none. */
  #next(
    { target, variant, visited }: Pick<Packet, "target" | "variant" | "visited">,
    now: Instant,
  ): LinkState | FailureReason {
    const direct = this.#links.get(target);
    // Whether it can pass on what we send it does not matter here: it need not.
    if (direct !== undefined) return this.#hasRoom(direct) ? direct : "busy";
    const goal = positionOf(target);
    // The only links of the source that lead nearer may all end at relays that swallow what they get. So a variant may leave it
    // by any link, and is greedy from there on as if it began there.
    const isDetour = variant > 0;
    let nearest =
      isDetour && visited.length === 0 ? Number.POSITIVE_INFINITY : xorDistance(this.#position, goal);
    for (let index = isDetour ? 1 : 0; index < visited.length; index++)
      nearest = Math.min(nearest, xorDistance(visited[index] as Position, goal));
    let reason: FailureReason = "no_route";
    for (const doubted of [false, true]) {
      const greedy = this.#best(goal, xorDistance, nearest, visited, variant, doubted, now);
      if (typeof greedy === "object") return greedy;
      const below = ringDistance(this.#position, goal);
      const around = this.#best(goal, ringDistance, below, visited, variant, doubted, now);
      if (typeof around === "object") return around;
      if (greedy === "busy" || around === "busy") reason = "busy";
    }
    if (reason === "busy") return reason;
    // Nodes behind NATs cannot always have the neighbours that the ring wants them to.
    // Whoever sends a packet knows why, also to a node that seems dead; to pass it on for long would be too much.
    const isOurs = visited.length === 0;
    if (!isOurs && (!this.#isAlive(target) || this.#detours(visited, goal) >= detoursMax)) return "no_route";
    const round = (doubted: boolean): LinkState | FailureReason =>
      this.#best(goal, xorDistance, Number.POSITIVE_INFINITY, visited, variant, doubted, now);
    const trusted = round(false);
    return typeof trusted === "object" ? trusted : round(true);
  }

  /** How often the packet, on its way to this node, has come nearer to its goal in neither sense. */
  #detours(visited: readonly Position[], goal: Position): number {
    let count = 0;
    let nearest = Number.POSITIVE_INFINITY;
    let before: Position | undefined;
    for (const each of [...visited, this.#position]) {
      const away = xorDistance(each, goal);
      const isNearer = before === undefined || ringDistance(each, goal) < ringDistance(before, goal);
      if (away >= nearest && !isNearer) count++;
      nearest = Math.min(nearest, away);
      before = each;
    }
    return count;
  }

  /** Of the links nearer to the target than `below`, those that are doubted or the others, the nearest, or with a `variant` one of the nearest few. */
  #best(
    goal: Position,
    distance: (a: Position, b: Position) => number,
    below: number,
    visited: readonly Position[],
    variant: number,
    doubted: boolean,
    now: Instant,
  ): LinkState | FailureReason {
    let best: LinkState | undefined;
    let least = below;
    let blocked = false;
    const nearer: { readonly link: LinkState; readonly away: number }[] = [];
    for (const link of this.#links.values()) {
      if (link.doubted !== doubted) continue;
      const away = distance(link.position, goal);
      if (away >= (variant === 0 ? least : below) || wasVisited(visited, link.position)) continue;
      if (now < link.busyUntil || !this.#hasRoom(link)) {
        blocked = true;
        continue;
      }
      best = link;
      least = away;
      if (variant > 0) nearer.push({ link, away });
    }
    if (variant > 0 && nearer.length > 1) {
      nearer.sort((a, b) => a.away - b.away);
      best = nearer[variant % Math.min(variantsMax, nearer.length)]?.link;
    }
    return best ?? (blocked ? "busy" : "no_route");
  }

  #hasRoom(link: LinkState): boolean {
    if (!link.full) return true;
    return (
      link.waitingBytes < this.#options.linkQueueBytesMax && this.#waitingBytes < this.#options.queueBytesMax
    );
  }

  #refuse(packet: Packet, reason: FailureReason, from: NodeId | undefined, now: Instant): void {
    this.#counters[reason === "busy" ? "busy" : "noRoute"]++;
    if (reason === "busy" && from !== undefined) this.#tellBusy(from, now);
    const failure: Failure = { reason, target: packet.target, mark: markOf(packet.payload).slice() };
    if (packet.protocol === packetProtocol.failure) {
      // A failure of a failure is told to nobody, or two nodes could keep each other at work.
      this.#counters.unanswered++;
    } else if (packet.source === this.#self && from === undefined) {
      this.#outputs.push({ type: "undeliverable", by: this.#self, ...failure });
    } else {
      const payload = encodeFailure(failure);
      this.#onSend({ type: "send", target: packet.source, protocol: packetProtocol.failure, payload }, now);
    }
  }

  /** Tells the neighbour once in a while, not for each packet. */
  #tellBusy(from: NodeId, now: Instant): void {
    const link = this.#links.get(from);
    if (link === undefined || now < link.toldUntil) return;
    link.toldUntil = after(now, this.#options.busyMs / 2);
    this.#outputs.push({ type: "busy", to: from });
  }
}

function wasVisited(visited: readonly Position[], { high, low }: Position): boolean {
  for (const each of visited) if (each.high === high && each.low === low) return true;
  return false;
}

function newLink(id: NodeId): LinkState {
  return {
    id,
    position: positionOf(id),
    full: false,
    doubted: false,
    waiting: new Queue(),
    waitingBytes: 0,
    busyUntil: never,
    toldUntil: never,
  };
}

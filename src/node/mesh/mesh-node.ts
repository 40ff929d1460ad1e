import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { NodeId } from "../../base/node-id.ts";
import { canonicalNodeName } from "../../base/node-name.ts";
import type { Instant } from "../../base/time.ts";
import {
  type DirectoryOutput,
  Mesh,
  type MeshInput,
  type MeshOutput,
  type MeshSetup,
  type TraceResult,
} from "../../mesh/index.ts";
import {
  Names,
  type NamesInput,
  type NamesNews,
  type NamesRequest,
  resolveNamesOptions,
} from "../../names/index.ts";
import type { MembershipNews, MemberView } from "../../swim/index.ts";
import { frameType } from "../../wire/index.ts";
import { Deadlines } from "../links/deadlines.ts";
import type { Links } from "../links/index.ts";
import type { MeshPort } from "../links/mesh-port.ts";
import type { Log } from "../log.ts";
import { Addresses } from "./addresses.ts";
import { lifeOf, withLife, withoutLife } from "./life.ts";
import { type Route, routesOf, type Trace, traceOf } from "./routes.ts";
import type { Snapshot } from "./snapshot.ts";
import { type MeshStats, statsOf } from "./stats.ts";
import { noMember, untraced } from "./unreachable.ts";

/** How often the event loop's delay is looked at. */
const loopCheckMs = 1_000;
const weighMs = 10_000;
const saveMs = 30_000;

export interface MeshNodeSetup extends MeshSetup {
  readonly links: Links;
  readonly clock: () => Instant;
  /** Tells this life of the node from others. */
  readonly creation: number;
  readonly snapshot: Snapshot | undefined;
  readonly onNews: (news: MembershipNews) => void;
  /** Answers to `request`. */
  readonly onNames: (news: NamesNews) => void;
  readonly log: Log;
}

/** Where somebody may be, and under which name, if that is known. */
export interface Meeting {
  readonly host: string;
  readonly port: number;
  readonly name?: string;
}

/** Runs a node's part in the mesh (`src/mesh`) on its links and timers. */
export class MeshNode implements MeshPort {
  readonly #setup: MeshNodeSetup;
  readonly #mesh: Mesh;
  readonly #links: Links;
  readonly #names: Names;
  readonly #deadlines: Deadlines<Mesh | Names>;
  readonly #timers: NodeJS.Timeout[];
  readonly #loopDelay: IntervalHistogram;
  readonly #addresses: Addresses;
  readonly #traces = new Map<number, (result: TraceResult) => void>();
  #lastTrace = 0;
  #onFarewell: (() => void) | undefined;
  #performing = false;
  #closed = false;

  constructor(setup: MeshNodeSetup) {
    this.#setup = setup;
    this.#links = setup.links;
    this.#addresses = new Addresses({
      ...setup,
      id: () => this.#mesh.id,
      nameOf: (id) => this.nameOf(id),
      onReached: (id, address) => this.tell({ type: "reached", id, address }),
      onUnreached: (id, address) => this.tell({ type: "unreached", id, address }),
    });
    for (const { name, address } of setup.remembered ?? []) this.#addresses.name(address, name);
    const metadata = withLife(setup.creation, setup.metadata);
    this.#mesh = new Mesh({ ...setup, metadata }, setup.clock());
    this.#names = new Names(
      { ...setup, self: this.#mesh.id, life: setup.creation, lifeOf: (id) => this.#lifeOf(id) },
      resolveNamesOptions(),
    );
    this.#deadlines = new Deadlines(setup.clock, (item) => {
      if (item instanceof Names) this.#toNames({ type: "tick" });
      else this.tell({ type: "tick" });
    });
    this.#loopDelay = monitorEventLoopDelay({ resolution: 20 });
    this.#loopDelay.enable();
    this.#timers = [
      setInterval(() => this.#checkLoop(), loopCheckMs),
      setInterval(() => this.#links.sessions.weigh(), weighMs),
      setInterval(() => void this.#save(), saveMs),
    ];
    for (const timer of this.#timers) timer.unref();
    this.#links.attach(this);
    this.#deadlines.watch(this.#mesh);
  }

  /** All members that are known, this node first, the dead and those that left included. */
  members(): MemberView[] {
    return [this.#mesh.swim.self, ...this.#mesh.swim.members()].map(withoutLife);
  }

  /** For what shows the mesh to people. */
  get mesh(): Mesh {
    return this.#mesh;
  }

  stats(): MeshStats {
    return statsOf(this.#mesh);
  }

  /** An address where a member may be: `host:port`, or a node name. Tried once. */
  join(address: string): void {
    this.tell({ type: "join", address });
  }

  /** Somebody may be there: dials, once, and joins if it is a node of the realm. */
  meet({ host, port, name }: Meeting): void {
    const address = hostAndPort(host, port);
    if (name !== undefined) this.#addresses.name(address, name);
    this.join(address);
  }

  /** Whether whoever is there is a living member, or this node itself. */
  knows({ host, port, name }: Meeting): boolean {
    if (name !== undefined) return this.#mesh.idOf(name) !== undefined;
    const id = this.#addresses.found(hostAndPort(host, port));
    return id !== undefined && (id === this.#mesh.id || this.#lifeOf(id) !== undefined);
  }

  /** Of global names; `onNames` answers. */
  request(request: NamesRequest): void {
    this.#toNames(request);
  }

  /** @throws MeshError `CONFIGURATION` above 512 bytes. */
  setMetadata(metadata: Uint8Array): void {
    this.tell({ type: "update", metadata: withLife(this.#setup.creation, metadata) });
  }

  /** How messages to each living member leave this node now. */
  routes(): Route[] {
    return routesOf(this.#mesh, (id) => this.#links.rttOf(id), this.#setup.clock());
  }

  /**
   * Which way messages to a member take, hop by hop.
   * @throws MeshError `PEER_UNREACHABLE`: no member, no way (who says so is in the message), or no answer.
   */
  async trace(node: string): Promise<Trace> {
    const name = canonicalNodeName(node);
    const target = this.#mesh.idOf(name);
    if (target === undefined) throw noMember(name, this.members());
    if (target === this.#mesh.id) return { hops: [{ node: name, nodeId: target }], rttMs: 0 };
    const result = await this.#ask(target);
    if (result.type !== "traced") throw untraced(name, result, this.#mesh.id, (id) => this.nameOf(id));
    return traceOf(this.#mesh, target, result);
  }

  /** Says farewell. Resolves when it has been told, within about two seconds. */
  leave(): Promise<void> {
    return new Promise((resolve) => {
      this.#onFarewell = resolve;
      this.tell({ type: "leave" });
    });
  }

  /** Keeps whom it knows for the next life, and stops. Idempotent. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const saved = this.#save();
    this.#closed = true;
    this.#deadlines.close();
    this.#loopDelay.disable();
    for (const timer of this.#timers) clearInterval(timer);
    this.#onFarewell?.();
    for (const resolve of this.#traces.values()) resolve({ type: "silent" });
    await saved;
  }

  tell(input: MeshInput): void {
    if (this.#closed) return;
    this.#mesh.handle(input, this.#setup.clock());
    // Carrying out an output may lead to the next input; the outer loop carries out what comes of that too, in order.
    if (this.#performing) return;
    this.#performing = true;
    try {
      for (let output = this.#mesh.poll(); output !== undefined; output = this.#mesh.poll())
        this.#perform(output);
    } finally {
      this.#performing = false;
    }
    this.#links.sessions.onProgress();
    this.#deadlines.watch(this.#mesh);
  }

  // What links and sessions ask.

  idOf(name: string): NodeId | undefined {
    const id = this.#mesh.idOf(name);
    return id === this.#mesh.id ? undefined : id;
  }

  nameOf(id: NodeId): string | undefined {
    return this.#mesh.member(id)?.name;
  }

  addressOf(name: string): string | undefined {
    const id = this.idOf(name);
    return id === undefined ? undefined : this.#mesh.member(id)?.address;
  }

  hasRoute(id: NodeId): boolean {
    return this.#mesh.forwarder.nextHop(id, this.#setup.clock()) !== undefined;
  }

  send(to: NodeId, message: Uint8Array, token: number): void {
    this.tell({ type: "send", to, token, message });
  }

  waitingBytes(id: NodeId): number {
    return this.#mesh.channels.waitingBytes(id);
  }

  hold(id: NodeId, held: boolean): void {
    this.tell({ type: "hold", id, held });
  }

  pause(id: NodeId, paused: boolean): void {
    this.tell({ type: "pause", id, paused });
  }

  linkUp(id: NodeId, address: string): void {
    this.tell({ type: "linkUp", id, address });
  }

  linkDown(id: NodeId, reason: "retired" | "closed" | "lost"): void {
    this.tell({ type: "linkDown", id, reason });
  }

  linkReady(id: NodeId): void {
    this.tell({ type: "linkReady", id });
  }

  frame(from: NodeId, type: number, payload: Uint8Array): void {
    this.tell({ type: "frame", from, frameType: type, payload });
  }

  datagram(from: NodeId, type: number, payload: Uint8Array): void {
    this.tell({ type: "datagram", from, frameType: type, payload });
  }

  // What the mesh wants.

  #perform(output: MeshOutput): void {
    const { sessions } = this.#links;
    switch (output.type) {
      case "datagram":
        this.#links.sendDatagram(output.to, output.frameType, output.payload);
        break;
      case "frame": {
        const below = this.#links.sendFrame(output.to, output.frameType, output.payload);
        if (!below && output.frameType === frameType.forward) this.tell({ type: "linkFull", id: output.to });
        break;
      }
      case "wantLink":
        void this.#addresses.dial(output.id, output.address);
        break;
      case "dropLink":
        this.#links.retire(output.id);
        break;
      case "deliver":
        sessions.onMessage(output.from, output.message);
        break;
      case "settled":
        sessions.onSettled(output.to);
        break;
      case "lost":
        sessions.onLost(output.to, output.token);
        break;
      case "directory":
        this.#onDirectory(output.output);
        break;
      case "traced":
        this.#traces.get(output.token)?.(output.result);
        this.#traces.delete(output.token);
        break;
      case "farewellTold":
        this.#onFarewell?.();
        break;
      default:
        this.#onMembership(output);
    }
  }

  #onMembership(news: MembershipNews): void {
    const { type, member } = news;
    const { sessions } = this.#links;
    if (type === "memberUp") sessions.onMemberUp(member.id);
    if (type === "memberDown") sessions.onMemberDown(member.id);
    // It may hold names that this node has given to others, or the other way round.
    if (type === "memberUp" || type === "memberChanged") this.#toNames({ type: "memberUp", id: member.id });
    this.#warnOfNamesake(member);
    this.#setup.onNews({ ...news, member: withoutLife(member) });
  }

  #warnOfNamesake({ id, name, state }: MemberView): void {
    const first = this.#mesh.idOf(name);
    if (state !== "alive" || first === undefined || first === id) return;
    this.#setup.log.warn({ node: name, nodeId: id, reached: first }, "member.namesake");
  }

  #onDirectory(output: DirectoryOutput): void {
    if (output.type === "found" || output.type === "published") this.#toNames(output);
    else if (output.type === "refused") {
      const { input, error } = output;
      if (input.type === "get" || input.type === "publish" || input.type === "withdraw")
        this.#toNames({ type: "refused", input, error });
    }
  }

  #toNames(input: NamesInput): void {
    if (this.#closed) return;
    this.#names.handle(input, this.#setup.clock());
    for (let output = this.#names.poll(); output !== undefined; output = this.#names.poll()) {
      if (output.type === "get" || output.type === "publish" || output.type === "withdraw")
        this.tell({ type: "directory", input: output });
      else this.#setup.onNames(output);
    }
    this.#deadlines.watch(this.#names);
  }

  #lifeOf(id: NodeId): number | undefined {
    const member = this.#mesh.member(id);
    return member?.state === "alive" || member?.state === "suspect" ? lifeOf(member) : undefined;
  }

  #ask(target: NodeId): Promise<TraceResult> {
    const token = ++this.#lastTrace;
    return new Promise((resolve) => {
      this.#traces.set(token, resolve);
      this.tell({ type: "trace", token, target });
    });
  }

  #checkLoop(): void {
    const delayMs = this.#loopDelay.max / 1e6;
    this.#loopDelay.reset();
    this.tell({ type: "loopDelay", delayMs });
  }

  #save(): Promise<void> {
    return this.#setup.snapshot?.save(this.#mesh.swim.remembered()) ?? Promise.resolve();
  }
}

function hostAndPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

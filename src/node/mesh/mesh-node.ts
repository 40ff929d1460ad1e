import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import { MeshError } from "../../base/errors.ts";
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
import type { MembershipNews, MemberView } from "../../swim/index.ts";
import { frameType } from "../../wire/index.ts";
import { Deadlines } from "../links/deadlines.ts";
import { FoundAnother, type Links } from "../links/index.ts";
import type { MeshPort } from "../links/mesh-port.ts";
import type { Snapshot } from "./snapshot.ts";

/** How often the event loop's delay is looked at. */
const loopCheckMs = 1_000;
const weighMs = 10_000;
const saveMs = 30_000;

export interface MeshNodeSetup extends MeshSetup {
  readonly links: Links;
  readonly clock: () => Instant;
  readonly snapshot: Snapshot | undefined;
  readonly onNews: (news: MembershipNews) => void;
  readonly onDirectory: (output: DirectoryOutput) => void;
}

/** Runs a node's part in the mesh (`src/mesh`) on its links and timers. */
export class MeshNode implements MeshPort {
  readonly #setup: MeshNodeSetup;
  readonly #mesh: Mesh;
  readonly #links: Links;
  readonly #deadlines: Deadlines<Mesh>;
  readonly #timers: NodeJS.Timeout[];
  readonly #loopDelay: IntervalHistogram;
  /** Dials under way, by whom or what they are for. */
  readonly #dialling = new Set<string>();
  readonly #traces = new Map<number, (result: TraceResult) => void>();
  #lastTrace = 0;
  #onFarewell: (() => void) | undefined;
  #performing = false;
  #closed = false;

  constructor(setup: MeshNodeSetup) {
    this.#setup = setup;
    this.#links = setup.links;
    this.#mesh = new Mesh(setup, setup.clock());
    this.#deadlines = new Deadlines(setup.clock, () => this.tell({ type: "tick" }));
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
    return [this.#mesh.swim.self, ...this.#mesh.swim.members()];
  }

  /** For what shows the mesh to people. */
  get mesh(): Mesh {
    return this.#mesh;
  }

  /** An address where a member may be: `host:port`, or a node name. Tried once. */
  join(address: string): void {
    this.tell({ type: "join", address });
  }

  /** Which way messages to the member take. */
  trace(target: NodeId): Promise<TraceResult> {
    const token = ++this.#lastTrace;
    return new Promise((resolve) => {
      this.#traces.set(token, resolve);
      this.tell({ type: "trace", token, target });
    });
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
        void this.#dial(output.id, output.address);
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
        this.#setup.onDirectory(output.output);
        break;
      case "traced":
        this.#traces.get(output.token)?.(output.result);
        this.#traces.delete(output.token);
        break;
      case "farewellTold":
        this.#onFarewell?.();
        break;
      default:
        if (output.type === "memberDown") sessions.onMemberDown(output.member.id);
        this.#setup.onNews(output);
    }
  }

  async #dial(id: NodeId | undefined, address: string): Promise<void> {
    const key = id ?? address;
    if (this.#dialling.has(key)) return;
    this.#dialling.add(key);
    try {
      const found = await this.#reach((id && this.nameOf(id)) ?? nameAt(address), hostOf(address));
      if (id === undefined || found === id) this.tell({ type: "reached", id: found, address });
      else this.tell({ type: "unreached", id, address });
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      this.tell({ type: "unreached", id, address });
    } finally {
      this.#dialling.delete(key);
    }
  }

  /** Whoever is there, if it is another than we thought: names are known only when somebody has answered. */
  async #reach(name: string, address: string): Promise<NodeId> {
    try {
      return await this.#links.dial(name, address);
    } catch (error) {
      if (!(error instanceof FoundAnother)) throw error;
      return await this.#links.dial(error.found, address);
    }
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

/** The name to dial for an address: itself, if it is one, or that of nobody in particular. */
function nameAt(address: string): string {
  return canonicalNodeName(address.includes("@") ? address : `_@${address}`);
}

function hostOf(address: string): string {
  return address.slice(address.indexOf("@") + 1);
}

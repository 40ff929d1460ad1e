import type { NodeId } from "../src/base/node-id.ts";
import { Queue } from "../src/base/queue.ts";
import { Schedule } from "../src/base/schedule.ts";
import { after, earliest, type Instant } from "../src/base/time.ts";
import {
  type DirectoryInput,
  type DirectoryOutput,
  Mesh,
  type MeshInput,
  type MeshOptions,
  type MeshOutput,
  type TraceResult,
} from "../src/mesh/index.ts";
import { packetProtocol } from "../src/routing/index.ts";
import type { HostContext, HostInput, HostOutput } from "../src/sim/index.ts";
import { type MembershipNews, type Swim } from "../src/swim/index.ts";
import { decodeFrame, encodeFrame, frameType } from "../src/wire/index.ts";
import { Conversation } from "./conversation.ts";
import {
  describeFrame,
  type Introduction,
  type MemberHost,
  type MemberHostSetup,
  newsText,
} from "./member-host.ts";
import { standInSeal } from "./stand-in-seal.ts";

/** What a simulation wants to know of its nodes. */
export interface NodeWatcher {
  delivered(by: NodeId, from: NodeId, message: Uint8Array): void;
  /** What `by` sent to `peer` and has not arrived is lost. */
  down(by: NodeId, peer: NodeId): void;
  directory(by: NodeId, output: DirectoryOutput): void;
  traced(by: NodeId, token: number, result: TraceResult): void;
  /** FORWARD leaves `by`. */
  forwarded(by: NodeId, to: NodeId, payload: Uint8Array): void;
}

export interface NodeHostSetup extends MemberHostSetup {
  readonly watcher: NodeWatcher;
  readonly options?: MeshOptions;
}

/** What a node has sent, by what it was for. `sent*`: made by it; `passed`: somebody else's, passed on. */
export interface NodeTraffic {
  /** Datagrams of membership, over a link and by other nodes. */
  probesDirect: number;
  probesForwarded: number;
  /** Packets of others. */
  passed: number;
  /** Frames by links of membership's exchanges, of the ring, of the directory, of sessions. */
  exchanges: number;
  ring: number;
  directory: number;
  sessions: number;
}

const nothing = new Uint8Array(0);

/** Messages in 10 s from which on a link is worth while. */
const linkWorthMessages = 64;
/** A link is held for its traffic until so long after it. */
const holdMs = 30_000;

/**
 * A whole node in a simulation: the mesh, and the sessions of its processes over links and channels, put together as a
 * real node does it. Its frames travel in messages and datagrams.
 */
export class NodeHost implements MemberHost {
  readonly context: HostContext;
  readonly mesh: Mesh;
  farewellTold = false;
  readonly traffic: NodeTraffic = {
    probesDirect: 0,
    probesForwarded: 0,
    passed: 0,
    exchanges: 0,
    ring: 0,
    directory: 0,
    sessions: 0,
  };
  /** What a hostile node does with a frame instead of what it should; true when it has dealt with it. */
  mischief: ((type: number, payload: Uint8Array, from: NodeId) => boolean) | undefined;
  readonly #setup: NodeHostSetup;
  readonly #inputs = new Queue<MeshInput>();
  readonly #outputs = new Queue<HostOutput>();
  #isFeeding = false;
  readonly #conversations = new Map<NodeId, Conversation>();
  /** Links, and how far their end has come: what RETIRE said. */
  readonly #links = new Map<NodeId, { retiring: boolean; retired: boolean }>();
  /** Wanted again while they were being retired. */
  readonly #wantedAgain = new Map<NodeId, string>();
  /** Links held for their traffic, and when it is looked at again. */
  readonly #held = new Schedule<NodeId>();

  constructor(context: HostContext, setup: NodeHostSetup) {
    this.context = context;
    this.#setup = setup;
    const { publicKey, crypto, random, name, address, startedAt } = context;
    this.mesh = new Mesh(
      {
        publicKey,
        crypto,
        seal: standInSeal(publicKey, random),
        random,
        name: `${name}@${address}`,
        address,
        wallClock: (now) => 1_700_000_000_000 + now,
        records: setup.records,
        ...(setup.options === undefined ? {} : { options: setup.options }),
        ...(setup.remembered === undefined ? {} : { remembered: setup.remembered }),
      },
      startedAt,
    );
  }

  get swim(): Swim {
    return this.mesh.swim;
  }

  get linked(): IterableIterator<NodeId> {
    return this.#links.keys();
  }

  isLinked(id: NodeId): boolean {
    return this.#links.has(id);
  }

  // What a program does.

  /** Sends a message to the processes of another node. */
  send(to: NodeId, message: Uint8Array, now: Instant): void {
    const conversation = this.#conversation(to, now);
    conversation.send(message, now);
    if (conversation.recent > linkWorthMessages) {
      if (this.#held.get(to) === undefined) this.#toMesh({ type: "hold", id: to, held: true }, now);
      this.#held.set(to, after(now, holdMs));
    }
  }

  directory(input: DirectoryInput, now: Instant): void {
    this.#toMesh({ type: "directory", input }, now);
  }

  trace(token: number, target: NodeId, now: Instant): void {
    this.#toMesh({ type: "trace", token, target }, now);
  }

  join(address: string, now: Instant): void {
    this.#toMesh({ type: "join", address }, now);
  }

  leave(now: Instant): void {
    this.#toMesh({ type: "leave" }, now);
  }

  /** Says anything: for nodes that are not what they should be. */
  say(output: HostOutput): void {
    this.#outputs.push(output);
  }

  introduce(
    { id, address }: { readonly id: NodeId; readonly address: string },
    said: Introduction,
    now: Instant,
  ): void {
    this.mesh.handle({ type: "linkUp", id, address }, now);
    for (const payload of said) {
      this.mesh.handle({ type: "frame", from: id, frameType: frameType.members, payload }, now);
    }
    this.mesh.handle({ type: "linkDown", id, reason: "closed" }, now);
    while (this.mesh.poll() !== undefined);
  }

  // The machine.

  handle(input: HostInput, now: Instant): void {
    switch (input.type) {
      case "tick":
        this.#toMesh({ type: "tick" }, now);
        this.#releaseLinks(now);
        break;
      case "datagram":
      case "message":
        this.#onBytes(input.type, input.from, input.bytes, now);
        break;
      case "linkUp":
        this.#onLinkUp(input.peer, input.address, now);
        break;
      case "linkDown":
        this.#onLinkDown(input.peer, input.reason, now);
        break;
      case "linkFailed":
        this.#toMesh({ type: "unreached", id: input.peer, address: input.address }, now);
        break;
      default:
        input satisfies never;
    }
  }

  poll(): HostOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return earliest(this.mesh.deadline(), this.#held.deadline());
  }

  describe(bytes: Uint8Array): string {
    return describeFrame(bytes);
  }

  // Links.

  #onLinkUp(id: NodeId, address: string, now: Instant): void {
    if (this.#links.has(id)) {
      this.#toMesh({ type: "reached", id, address }, now);
      return;
    }
    this.#links.set(id, { retiring: false, retired: false });
    this.#conversation(id, now).handle({ type: "linkUp" }, now);
    this.#toMesh({ type: "linkUp", id, address }, now);
  }

  #onLinkDown(id: NodeId, reason: "closed" | "lost", now: Instant): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    this.#links.delete(id);
    const clean = reason === "closed" && link.retired && link.retiring;
    this.#conversation(id, now).handle({ type: "linkDown", clean }, now);
    if (!link.retiring) this.#toMesh({ type: "linkDown", id, reason }, now);
    const address = this.#wantedAgain.get(id);
    if (address === undefined) return;
    this.#wantedAgain.delete(id);
    this.#outputs.push({ type: "wantLink", peer: id, address });
  }

  /** The last that this end says by a link. For the mesh it is gone; what still comes by it is read. */
  #retire(id: NodeId, now: Instant): void {
    const link = this.#links.get(id);
    if (link === undefined || link.retiring) return;
    link.retiring = true;
    this.#conversations.get(id)?.retire();
    this.#message(id, frameType.retire, nothing);
    this.#toMesh({ type: "linkDown", id, reason: "closed" }, now);
  }

  /** The other end has said its last. */
  #onRetire(id: NodeId, now: Instant): void {
    const link = this.#links.get(id);
    if (link === undefined) return;
    link.retired = true;
    // Who asked for it closes: by then all of both ends has been read.
    if (link.retiring) this.#outputs.push({ type: "endLink", peer: id });
    else this.#retire(id, now);
  }

  #releaseLinks(now: Instant): void {
    for (let id = this.#held.expire(now); id !== undefined; id = this.#held.expire(now)) {
      this.#toMesh({ type: "hold", id, held: false }, now);
    }
  }

  // Frames.

  #onBytes(kind: "datagram" | "message", from: NodeId, bytes: Uint8Array, now: Instant): void {
    const decoded = decodeFrame(bytes);
    if (decoded.result !== "frame") return;
    const { type, payload } = decoded.frame;
    if (this.mischief?.(type, payload, from) === true) return;
    if (kind === "datagram") this.#toMesh({ type: "datagram", from, frameType: type, payload }, now);
    else if (type === frameType.session) {
      this.#conversation(from, now).handle({ type: "greeting", payload }, now);
    } else if (type === frameType.send) this.#conversation(from, now).onLinkMessage(payload);
    else if (type === frameType.retire) this.#onRetire(from, now);
    else this.#toMesh({ type: "frame", from, frameType: type, payload }, now);
  }

  #message(to: NodeId, type: number, payload: Uint8Array): void {
    this.#outputs.push({ type: "message", to, bytes: encodeFrame(type, payload) });
  }

  // The mesh.

  /** One after the other: what comes of an input may be another one. */
  #toMesh(input: MeshInput, now: Instant): void {
    this.#inputs.push(input);
    if (this.#isFeeding) return;
    this.#isFeeding = true;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      this.mesh.handle(next, now);
      for (let output = this.mesh.poll(); output !== undefined; output = this.mesh.poll()) {
        this.#carryOut(output, now);
      }
    }
    this.#isFeeding = false;
  }

  #carryOut(output: MeshOutput, now: Instant): void {
    const { watcher } = this.#setup;
    switch (output.type) {
      case "datagram":
        this.traffic.probesDirect++;
        this.#outputs.push({
          type: "datagram",
          to: output.to,
          bytes: encodeFrame(output.frameType, output.payload),
        });
        break;
      case "frame":
        this.#count(output.to, output.frameType, output.payload);
        this.#message(output.to, output.frameType, output.payload);
        break;
      case "wantLink":
        this.#wantLink(output.id, output.address);
        break;
      case "dropLink":
        if (this.#links.has(output.id)) this.#retire(output.id, now);
        else this.#outputs.push({ type: "dropLink", peer: output.id });
        break;
      case "farewellTold":
        this.farewellTold = true;
        this.#outputs.push({ type: "news", text: "farewell told" });
        break;
      case "deliver":
        this.#conversation(output.from, now).handle({ type: "message", payload: output.message }, now);
        break;
      case "settled":
        this.#conversations.get(output.to)?.handle({ type: "settled" }, now);
        break;
      case "lost":
        this.#conversations.get(output.to)?.handle({ type: "lost", number: output.token }, now);
        break;
      case "directory":
        watcher.directory(this.mesh.id, output.output);
        break;
      case "traced":
        watcher.traced(this.mesh.id, output.token, output.result);
        break;
      default:
        this.#onNews(output, now);
    }
  }

  #onNews(news: MembershipNews, now: Instant): void {
    this.#setup.onNews?.(news, this.mesh.id);
    this.#outputs.push({ type: "news", text: newsText(news) });
    if (news.type !== "memberDown") return;
    const { id } = news.member;
    this.#conversations.get(id)?.handle({ type: "memberDown" }, now);
    if (!this.#links.has(id)) this.#conversations.delete(id);
  }

  #wantLink(id: NodeId | undefined, address: string): void {
    if (id === undefined) this.#outputs.push({ type: "wantLink", address });
    else if (this.#links.get(id)?.retiring === true) this.#wantedAgain.set(id, address);
    else this.#outputs.push({ type: "wantLink", peer: id, address });
  }

  #count(to: NodeId, type: number, payload: Uint8Array): void {
    const { traffic } = this;
    if (type === frameType.members) traffic.exchanges++;
    else if (type === frameType.linkUse) traffic.ring++;
    else if (type === frameType.lookup) traffic.directory++;
    else if (type === frameType.forward) {
      this.#setup.watcher.forwarded(this.mesh.id, to, payload);
      const visited = payload[2];
      const [protocol] = payload;
      if (visited !== 1) traffic.passed++;
      else if (protocol === packetProtocol.datagram) traffic.probesForwarded++;
      else traffic.sessions++;
    }
  }

  #conversation(peer: NodeId, now: Instant): Conversation {
    const known = this.#conversations.get(peer);
    if (known !== undefined) return known;
    const { watcher } = this.#setup;
    const self = this.mesh.id;
    const conversation = new Conversation(
      peer,
      {
        greet: (to, payload) => {
          this.traffic.sessions++;
          this.#message(to, frameType.session, payload);
        },
        sendByLink: (to, message) => this.#message(to, frameType.send, message),
        sendByChannel: (to, message, token, at) => this.#toMesh({ type: "send", to, message, token }, at),
        endLink: (to) => this.#outputs.push({ type: "endLink", peer: to }),
        delivered: (from, message) => watcher.delivered(self, from, message),
        down: (id) => watcher.down(self, id),
      },
      this.context.random,
      now,
    );
    this.#conversations.set(peer, conversation);
    return conversation;
  }
}

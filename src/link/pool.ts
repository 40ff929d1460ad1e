import { compare } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import type { Machine } from "../base/machine.ts";
import { type NodeId, nodeIdBytes } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { Schedule } from "../base/schedule.ts";
import { after, at, type Instant } from "../base/time.ts";
import { Admission } from "./admission.ts";
import { backoffMs } from "./backoff.ts";
import { type Ending, endingError } from "./codes.ts";
import type { PoolOptions } from "./options.ts";
import type { ConnectionNumber, PoolInput, PoolOutput, PoolPeer } from "./pool-messages.ts";
import { type Dial, type Inbound, type Node, newLife, PoolNodes, type Up } from "./pool-nodes.ts";

type TimerKind = "redial" | "dial" | "grace" | "probe";

/** As many dials in a row may end as `duplicate` before the peer counts as unreachable. */
const duplicatesMax = 3;

/**
 * Who is dialled when, and which connection to a node is its link.
 *
 * Two connections between the same two nodes are settled by one of them alone, the one with the smaller node id: as a
 * dialler by its proof, as a listener by its answer. The other goes along with whatever it does. It prefers its own
 * dial, and the peer's when its own does not get through (a peer behind a firewall can dial out, not in). As the
 * decision comes before the handshake is over, no lane of the losing connection was ever open.
 *
 * A node that dials while there is a link to it either has lost that link or came back to life. A new creation proves
 * the latter; else the link is probed: if it answers, the newcomer is refused, if not, the old life is over.
 */
export class Pool implements Machine<PoolInput, PoolOutput> {
  readonly #self: PoolPeer;
  readonly #options: Required<PoolOptions>;
  readonly #random: Random;
  readonly #outputs = new Queue<PoolOutput>();
  readonly #nodes: PoolNodes;
  readonly #owners = new Map<ConnectionNumber, Node>();
  readonly #links = new Map<NodeId, Up>();
  readonly #schedule = new Schedule<string>();
  readonly #dialQueue = new Queue<Node>();
  readonly #admission: Admission;
  #dials = 0;
  #wanted = 0;
  #lastNumber = 0;
  #closing = false;

  constructor(self: PoolPeer, options: Required<PoolOptions>, random: Random) {
    this.#self = self;
    this.#options = options;
    this.#random = random;
    this.#nodes = new PoolNodes(options.rememberedMax);
    this.#admission = new Admission(options.inboundMax, options.inboundPerAddressMax);
  }

  /** A number for a new incoming connection. */
  number(): ConnectionNumber {
    return ++this.#lastNumber;
  }

  /** Links that are up. */
  get links(): number {
    return this.#links.size;
  }

  /** Nodes of which anything is kept. */
  get known(): number {
    return this.#nodes.size;
  }

  handle(input: PoolInput, now: Instant): void {
    this.#react(input, now);
    this.#nodes.sweep(this.#links.size + this.#wanted);
  }

  poll(): PoolOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#schedule.deadline();
  }

  #react(input: PoolInput, now: Instant): void {
    switch (input.type) {
      case "want":
        this.#onWant(input.name, false, now);
        break;
      case "connect":
        this.#onWant(input.name, true, now);
        break;
      case "disconnect":
        this.#onDisconnect(input.name);
        break;
      case "close":
        this.#onClose();
        break;
      case "inbound":
        this.#onInbound(input.connection, input.address);
        break;
      case "established":
        this.#onEstablished(input.connection, now);
        break;
      case "introduced":
        this.#onIntroduced(input.connection, input.peer, input.early, now);
        break;
      case "complete":
        this.#onComplete(input.connection, input.peer, now);
        break;
      case "alive":
        this.#onAlive(input.connection);
        break;
      case "closed":
        this.#onClosed(input.connection, input.ending, input.cause, now);
        break;
      case "tick":
        this.#onTick(now);
        break;
      default:
        input satisfies never;
    }
  }

  #onWant(name: string, atOnce: boolean, now: Instant): void {
    const node = this.#nodes.get(name);
    if (node.up !== undefined && !node.up.leaving) return;
    if (this.#closing) {
      this.#unreachable(node, new MeshError("CLOSED", closing.reason));
      return;
    }
    if (!node.wanted && this.#wanted >= this.#options.wantedMax) {
      this.#unreachable(
        node,
        new MeshError("LIMIT", `${this.#options.wantedMax} nodes are being waited for already`),
      );
      return;
    }
    this.#setWanted(node, true);
    if (atOnce) node.notBefore = at(Number.NEGATIVE_INFINITY);
    this.#dialWhenNeeded(node, now);
  }

  #setWanted(node: Node, wanted: boolean): void {
    if (node.wanted !== wanted) this.#wanted += wanted ? 1 : -1;
    node.wanted = wanted;
  }

  /** Dials `node` if somebody wants it, nothing is under way and the back-off allows it; else arranges for it. */
  #dialWhenNeeded(node: Node, now: Instant): void {
    const { up, dial, wanted } = node;
    if (!wanted || node.queued || up !== undefined || dial !== undefined) return;
    // A connection of theirs that we have answered will be the link; one that may be a replay holds nothing up.
    for (const each of node.inbound.values()) if (each.admitted && !each.early) return;
    if (now < node.notBefore) {
      this.#set("redial", node, node.notBefore);
      return;
    }
    this.#schedule.clear(`redial ${node.name}`);
    if (this.#links.size + this.#dials >= this.#options.linksMax) {
      this.#unreachable(node, new MeshError("LIMIT", `${this.#options.linksMax} links are open already`));
      return;
    }
    if (this.#dials >= this.#options.dialsMax) {
      node.queued = true;
      this.#dialQueue.push(node);
      return;
    }
    const connection = this.number();
    node.dial = { connection, contacted: false };
    this.#dials++;
    this.#owners.set(connection, node);
    this.#set("dial", node, after(now, this.#options.dialTimeoutMs));
    this.#outputs.push({ type: "dial", connection, name: node.name });
  }

  #onDisconnect(name: string): void {
    const node = this.#nodes.find(name);
    if (node === undefined) return;
    if (node.up !== undefined && !node.up.leaving) {
      node.up.leaving = true;
      this.#outputs.push({ type: "leave", connection: node.up.connection });
    }
    if (node.dial !== undefined || node.wanted) {
      this.#abandonDial(node, { code: "goodbye", reason: "disconnected" });
      this.#unreachable(node, new MeshError("CLOSED", `the dial to ${name} was given up: disconnected`));
    }
  }

  #onClose(): void {
    this.#closing = true;
    this.#dialQueue.clear();
    for (const node of this.#nodes.all()) {
      node.queued = false;
      this.#nodes.touch(node);
      if (node.dial === undefined && !node.wanted) continue;
      this.#abandonDial(node, closing);
      this.#unreachable(
        node,
        new MeshError("CLOSED", `the dial to ${node.name} was given up: ${closing.reason}`),
      );
    }
  }

  #onInbound(connection: ConnectionNumber, address: string): void {
    if (this.#links.size >= this.#options.linksMax) {
      this.#end(connection, { code: "overloaded", reason: "too many links" });
    } else if (!this.#admission.enter(connection, address)) {
      this.#end(connection, { code: "overloaded", reason: "too many handshakes" });
    }
  }

  #onEstablished(connection: ConnectionNumber, now: Instant): void {
    const node = this.#owners.get(connection);
    if (node?.dial?.connection === connection) node.dial.contacted = true;
    const inbound = node?.inbound.get(connection);
    if (node === undefined || inbound === undefined) return;
    inbound.early = false;
    if (!inbound.admitted) this.#decide(node, inbound, now);
  }

  #onIntroduced(connection: ConnectionNumber, peer: PoolPeer, early: boolean, now: Instant): void {
    const owner = this.#owners.get(connection);
    if (owner?.dial?.connection === connection) {
      this.#confirm(owner, owner.dial, peer, now);
      return;
    }
    if (!this.#admission.has(connection)) return;
    if (peer.nodeId === this.#self.nodeId || peer.name === this.#self.name) {
      this.#end(connection, { code: "name_taken", reason: `${peer.name} is the node you reached` });
      return;
    }
    const node = this.#nodes.get(peer.name);
    const inbound = { connection, peer, early, admitted: false };
    node.inbound.set(connection, inbound);
    this.#owners.set(connection, node);
    this.#decide(node, inbound, now);
  }

  /** Listener: answer, hold or refuse the handshake of a peer. */
  #decide(node: Node, inbound: Inbound, now: Instant): void {
    const rival = node.up ?? this.#links.get(inbound.peer.nodeId);
    if (rival !== undefined) {
      if (inbound.early) return;
      if (!newLife(rival.peer, inbound.peer)) {
        this.#probe(rival, now);
        return;
      }
      this.#endLife(rival, { code: "replaced", reason: `${node.name} came back to life` }, now);
    }
    if (node.dial !== undefined && this.#decidesAbout(inbound.peer)) {
      if (inbound.early) return;
      if (this.#schedule.get(`grace ${node.name}`) === undefined) {
        this.#set("grace", node, after(now, this.#options.simultaneousGraceMs));
      }
      return;
    }
    this.#admit(inbound);
  }

  #admit(inbound: Inbound): void {
    inbound.admitted = true;
    this.#outputs.push({ type: "admit", connection: inbound.connection });
  }

  /** Dialler: the peer answered and has proven itself. To go on is to decide for this connection. */
  #confirm(node: Node, dial: Dial, peer: PoolPeer, now: Instant): void {
    dial.contacted = true;
    const rival = node.up ?? this.#links.get(peer.nodeId);
    if (rival !== undefined && !newLife(rival.peer, peer)) {
      const code =
        rival.peer.name === peer.name && rival.peer.nodeId === peer.nodeId ? "duplicate" : "name_taken";
      const ending: Ending = { code, reason: `${rival.peer.name} (${rival.peer.nodeId}) has a link already` };
      this.#abandonDial(node, ending);
      if (node.up === undefined) this.#unreachable(node, endingError(ending));
      return;
    }
    if (this.#decidesAbout(peer)) {
      for (const inbound of node.inbound.values()) {
        if (!inbound.admitted || inbound.early || inbound.peer.nodeId !== peer.nodeId) continue;
        this.#abandonDial(node, duplicate);
        return;
      }
    }
    if (rival !== undefined) {
      this.#endLife(rival, { code: "replaced", reason: `${node.name} came back to life` }, now);
    }
    this.#outputs.push({ type: "admit", connection: dial.connection });
  }

  /** Whether this node settles which of two connections with `peer` stays. */
  #decidesAbout(peer: PoolPeer): boolean {
    return compare(nodeIdBytes(this.#self.nodeId), nodeIdBytes(peer.nodeId)) < 0;
  }

  #onComplete(connection: ConnectionNumber, peer: PoolPeer, now: Instant): void {
    const node = this.#owners.get(connection);
    if (node === undefined) return;
    const rivals = new Set([node.up, this.#links.get(peer.nodeId)]);
    for (const rival of rivals) {
      if (rival === undefined || rival.connection === connection) continue;
      this.#endLife(rival, { code: "replaced", reason: `${peer.name} made a new link` }, now);
    }
    if (node.dial?.connection === connection) this.#dialOver(node);
    else this.#abandonDial(node, duplicate);
    this.#admission.leave(connection);
    node.inbound.delete(connection);
    for (const other of node.inbound.values()) {
      const same = other.peer.nodeId === peer.nodeId;
      this.#end(
        other.connection,
        same ? duplicate : { code: "name_taken", reason: `${peer.name} has a link` },
      );
    }
    node.inbound.clear();
    node.up = { connection, peer, since: now, leaving: false };
    node.duplicates = 0;
    this.#setWanted(node, false);
    this.#links.set(peer.nodeId, node.up);
    for (const kind of ["redial", "grace", "probe"] as const) this.#schedule.clear(`${kind} ${node.name}`);
    this.#outputs.push({ type: "up", connection, peer });
    this.#dialNext(now);
  }

  #probe(rival: Up, now: Instant): void {
    const key = `probe ${rival.peer.name}`;
    if (this.#schedule.get(key) !== undefined) return;
    this.#schedule.set(key, after(now, this.#options.probeTimeoutMs));
    this.#outputs.push({ type: "probe", connection: rival.connection });
  }

  /** The link that was probed lives: those who wait for its end are refused. */
  #onAlive(connection: ConnectionNumber): void {
    const owner = this.#owners.get(connection);
    if (owner?.up?.connection !== connection || this.#schedule.get(`probe ${owner.name}`) === undefined)
      return;
    this.#schedule.clear(`probe ${owner.name}`);
    const { peer } = owner.up;
    for (const inbound of this.#nodes.waitingFor(owner.up)) {
      const same = inbound.peer.name === peer.name && inbound.peer.nodeId === peer.nodeId;
      const reason = `${peer.name} (${peer.nodeId}) has a live link`;
      this.#nodes.find(inbound.peer.name)?.inbound.delete(inbound.connection);
      this.#end(inbound.connection, { code: same ? "duplicate" : "name_taken", reason });
    }
  }

  #onClosed(connection: ConnectionNumber, ending: Ending, cause: Error | undefined, now: Instant): void {
    this.#admission.leave(connection);
    const node = this.#owners.get(connection);
    if (node === undefined) return;
    this.#nodes.touch(node);
    this.#owners.delete(connection);
    if (node.up?.connection === connection) {
      this.#lifeOver(node.up, ending, now);
    } else if (node.dial?.connection === connection) {
      this.#dialOver(node);
      this.#onDialFailed(node, ending, cause, now);
    } else {
      node.inbound.delete(connection);
    }
    this.#reconsider(node, now);
    this.#dialNext(now);
  }

  #onDialFailed(node: Node, ending: Ending, cause: Error | undefined, now: Instant): void {
    const { code } = ending;
    if (code === "duplicate" && (node.inbound.size > 0 || ++node.duplicates < duplicatesMax)) {
      // The peer settled for its own connection, which is on its way; if it does not come, dial again.
      node.notBefore = after(now, this.#options.simultaneousGraceMs);
      return;
    }
    node.failures++;
    node.notBefore = after(now, this.#backoff(node.failures));
    if (node.inbound.size > 0) return;
    if (code === "duplicate") {
      const reason = `${node.name} ended ${duplicatesMax} dials in favour of a connection that never came`;
      this.#unreachable(node, new MeshError("PEER_UNREACHABLE", reason));
      return;
    }
    this.#unreachable(node, cause instanceof MeshError ? cause : endingError(ending, cause ? { cause } : {}));
  }

  /** Something that held others up is gone. */
  #reconsider(node: Node, now: Instant): void {
    for (const inbound of [...node.inbound.values()]) {
      if (!inbound.admitted) this.#decide(node, inbound, now);
    }
    this.#dialWhenNeeded(node, now);
  }

  /** Ends a link on our side, in favour of a newer one. */
  #endLife(up: Up, ending: Ending, now: Instant): void {
    this.#end(up.connection, ending);
    this.#lifeOver(up, ending, now);
  }

  #lifeOver(up: Up, ending: Ending, now: Instant): void {
    const { connection, peer } = up;
    this.#links.delete(peer.nodeId);
    const node = this.#nodes.get(peer.name);
    node.up = undefined;
    this.#schedule.clear(`probe ${peer.name}`);
    // A link that ended in order, or after a good while, says nothing against dialling again at once.
    const sound = up.leaving || now - up.since >= this.#options.stableMs;
    node.failures = sound ? 0 : node.failures + 1;
    node.notBefore = after(now, this.#backoff(node.failures));
    this.#outputs.push({ type: "down", connection, peer, ending });
    // Handshakes under another name but with the node id of this link waited for it too.
    for (const inbound of this.#nodes.waitingFor(up)) {
      if (inbound.peer.name === peer.name) continue;
      const other = this.#nodes.find(inbound.peer.name);
      if (other !== undefined) this.#decide(other, inbound, now);
    }
  }

  #backoff(failures: number): number {
    const { backoffBaseMs, backoffMaxMs } = this.#options;
    return backoffMs(failures, backoffBaseMs, backoffMaxMs, this.#random.float());
  }

  #unreachable(node: Node, error: MeshError): void {
    this.#setWanted(node, false);
    node.duplicates = 0;
    this.#schedule.clear(`redial ${node.name}`);
    this.#outputs.push({ type: "unreachable", name: node.name, error });
    this.#nodes.touch(node);
  }

  #abandonDial(node: Node, ending: Ending): void {
    if (node.dial === undefined) return;
    this.#end(node.dial.connection, ending);
    this.#dialOver(node);
  }

  /** The dial of `node` came to an end, good or bad. */
  #dialOver(node: Node): void {
    node.dial = undefined;
    this.#dials--;
    this.#schedule.clear(`dial ${node.name}`);
    this.#schedule.clear(`grace ${node.name}`);
  }

  #dialNext(now: Instant): void {
    while (this.#dials < this.#options.dialsMax) {
      const next = this.#dialQueue.shift();
      if (next === undefined) return;
      next.queued = false;
      this.#nodes.touch(next);
      this.#dialWhenNeeded(next, now);
    }
  }

  #end(connection: ConnectionNumber, ending: Ending): void {
    const node = this.#owners.get(connection);
    node?.inbound.delete(connection);
    if (node !== undefined) this.#nodes.touch(node);
    this.#owners.delete(connection);
    this.#admission.leave(connection);
    this.#outputs.push({ type: "end", connection, ending });
  }

  #onTick(now: Instant): void {
    for (let key = this.#schedule.expire(now); key !== undefined; key = this.#schedule.expire(now)) {
      const [kind, name] = key.split(" ") as [TimerKind, string];
      const node = this.#nodes.find(name);
      if (node !== undefined) this.#onTimer(kind, node, now);
    }
  }

  #onTimer(kind: TimerKind, node: Node, now: Instant): void {
    switch (kind) {
      case "redial":
        this.#dialWhenNeeded(node, now);
        break;
      case "dial": {
        const reason = `no link to ${node.name} within ${this.#options.dialTimeoutMs} ms`;
        this.#abandonDial(node, { code: "timeout", reason });
        this.#onDialFailed(node, { code: "timeout", reason }, undefined, now);
        this.#reconsider(node, now);
        break;
      }
      case "grace":
        // Our own dial does not get through; theirs did.
        if (node.dial !== undefined && !node.dial.contacted) this.#abandonDial(node, duplicate);
        this.#reconsider(node, now);
        break;
      case "probe":
        if (node.up !== undefined) {
          this.#endLife(
            node.up,
            { code: "silent", reason: `${node.name} dials anew and its link is silent` },
            now,
          );
        }
        this.#reconsider(node, now);
        break;
      default:
        kind satisfies never;
    }
    this.#dialNext(now);
  }

  #set(kind: TimerKind, node: Node, due: Instant): void {
    this.#schedule.set(`${kind} ${node.name}`, due);
  }
}

const closing: Ending = { code: "goodbye", reason: "the node is closing" };
const duplicate: Ending = { code: "duplicate", reason: "the two nodes have another connection" };

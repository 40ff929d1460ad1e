import { compare } from "../base/bytes.ts";
import { MeshError } from "../base/errors.ts";
import type { Machine } from "../base/machine.ts";
import { type NodeId, nodeIdBytes } from "../base/node-id.ts";
import { Queue } from "../base/queue.ts";
import type { Random } from "../base/random.ts";
import { after, at, type Instant } from "../base/time.ts";
import { Admission } from "./admission.ts";
import { type Ending, endingError } from "./codes.ts";
import type { PoolOptions } from "./options.ts";
import { PoolDials } from "./pool-dials.ts";
import type { ConnectionNumber, PoolInput, PoolOutput, PoolPeer } from "./pool-messages.ts";
import { type Dial, type Inbound, type Node, newLife, PoolNodes, type Up } from "./pool-nodes.ts";
import { PoolTimers, type TimerKind } from "./pool-timers.ts";

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
  readonly #outputs = new Queue<PoolOutput>();
  readonly #nodes: PoolNodes;
  readonly #owners = new Map<ConnectionNumber, Node>();
  readonly #links = new Map<NodeId, Up>();
  readonly #timers = new PoolTimers();
  readonly #dials: PoolDials;
  readonly #admission: Admission;
  #lastNumber = 0;
  #closing = false;

  constructor(self: PoolPeer, options: Required<PoolOptions>, random: Random) {
    this.#self = self;
    this.#options = options;
    this.#dials = new PoolDials(options, random);
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
    this.#nodes.sweep(this.#links.size + this.#dials.wanted);
  }

  poll(): PoolOutput | undefined {
    return this.#outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.#timers.deadline();
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
      case "retire":
        this.#leave(this.#nodes.find(input.name), true);
        break;
      case "retiring":
        this.#onRetiring(input.connection);
        break;
      case "close":
        this.#onClose();
        break;
      case "inbound":
        this.#onInbound(input.connection, input.address);
        break;
      case "established":
        this.#onEstablished(input.connection, input.nodeId, now);
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
    const refusal = this.#dials.want(node);
    if (refusal !== undefined) {
      this.#unreachable(node, refusal);
      return;
    }
    if (atOnce) node.notBefore = at(Number.NEGATIVE_INFINITY);
    this.#dialWhenNeeded(node, now);
  }

  /** Dials `node` if somebody wants it, nothing is under way and the back-off allows it; else arranges for it. */
  #dialWhenNeeded(node: Node, now: Instant): void {
    const { up, dial, wanted } = node;
    if (!wanted || node.queued || up !== undefined || dial !== undefined) return;
    // A connection of theirs that we have answered will be the link; one that may be a replay holds nothing up.
    for (const each of node.inbound.values()) if (each.admitted && !each.early) return;
    if (now < node.notBefore) {
      this.#timers.set("redial", node, node.notBefore);
      return;
    }
    this.#timers.clear(node, "redial");
    if (this.#links.size + this.#dials.underWay >= this.#options.linksMax) {
      this.#unreachable(node, new MeshError("LIMIT", `${this.#options.linksMax} links are open already`));
      return;
    }
    if (!this.#dials.mayBegin(node)) return;
    const connection = this.number();
    this.#dials.begin(node, connection);
    this.#owners.set(connection, node);
    this.#timers.set("dial", node, after(now, this.#options.dialTimeoutMs));
    this.#outputs.push({ type: "dial", connection, name: node.name });
  }

  #onDisconnect(name: string): void {
    const node = this.#nodes.find(name);
    if (node === undefined) return;
    this.#leave(node, false);
    if (node.dial !== undefined || node.wanted) {
      this.#abandonDial(node, { code: "goodbye", reason: "disconnected" });
      this.#unreachable(node, new MeshError("CLOSED", `the dial to ${name} was given up: disconnected`));
    }
  }

  #leave(node: Node | undefined, retire: boolean): void {
    if (node?.up === undefined || node.up.leaving) return;
    node.up.leaving = true;
    this.#outputs.push({ type: "leave", connection: node.up.connection, retire });
  }

  #onRetiring(connection: ConnectionNumber): void {
    const up = this.#owners.get(connection)?.up;
    if (up?.connection === connection) up.leaving = true;
  }

  #onClose(): void {
    this.#closing = true;
    this.#dials.clearQueue();
    for (const node of this.#nodes.all()) {
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

  #onEstablished(connection: ConnectionNumber, nodeId: NodeId, now: Instant): void {
    const node = this.#owners.get(connection);
    if (node?.dial?.connection === connection) this.#onContact(node, node.dial, nodeId);
    const inbound = node?.inbound.get(connection);
    if (node === undefined || inbound === undefined) return;
    inbound.early = false;
    if (!inbound.admitted) this.#decide(node, inbound, now);
  }

  /** Dialler: the certificate of whoever is there was accepted. */
  #onContact(node: Node, dial: Dial, nodeId: NodeId): void {
    dial.contacted = true;
    const there = this.#links.get(nodeId)?.peer.name;
    if (there === undefined || there === node.name) return;
    // It would end the dial in favour of the link that it has, under its own name.
    const ending: Ending = {
      code: "wrong_node",
      reason: `${node.name} was dialled, ${there} is there`,
      found: there,
    };
    this.#abandonDial(node, ending);
    this.#unreachable(node, endingError(ending), there);
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
      if (!this.#timers.isSet("grace", node)) {
        this.#timers.set("grace", node, after(now, this.#options.simultaneousGraceMs));
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
    this.#dials.unwant(node);
    this.#links.set(peer.nodeId, node.up);
    this.#timers.clear(node, "redial", "grace", "probe");
    this.#outputs.push({ type: "up", connection, peer });
    this.#dialNext(now);
  }

  #probe(rival: Up, now: Instant): void {
    if (this.#timers.isSet("probe", rival.peer)) return;
    this.#timers.set("probe", rival.peer, after(now, this.#options.probeTimeoutMs));
    this.#outputs.push({ type: "probe", connection: rival.connection });
  }

  /** The link that was probed lives: those who wait for its end are refused. */
  #onAlive(connection: ConnectionNumber): void {
    const owner = this.#owners.get(connection);
    if (owner?.up?.connection !== connection || !this.#timers.isSet("probe", owner)) return;
    this.#timers.clear(owner, "probe");
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
    this.#dials.backOff(node, node.failures + 1, now);
    if (node.inbound.size > 0) return;
    if (code === "duplicate") {
      const reason = `${node.name} ended ${duplicatesMax} dials in favour of a connection that never came`;
      this.#unreachable(node, new MeshError("PEER_UNREACHABLE", reason));
      return;
    }
    const error = cause instanceof MeshError ? cause : endingError(ending, cause ? { cause } : {});
    this.#unreachable(node, error, ending.found);
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
    this.#timers.clear(peer, "probe");
    // A link that ended in order, or after a good while, says nothing against dialling again at once.
    const sound = up.leaving || now - up.since >= this.#options.stableMs;
    this.#dials.backOff(node, sound ? 0 : node.failures + 1, now);
    this.#outputs.push({ type: "down", connection, peer, ending });
    // Handshakes under another name but with the node id of this link waited for it too.
    for (const inbound of this.#nodes.waitingFor(up)) {
      if (inbound.peer.name === peer.name) continue;
      const other = this.#nodes.find(inbound.peer.name);
      if (other !== undefined) this.#decide(other, inbound, now);
    }
  }

  #unreachable(node: Node, error: MeshError, found?: string): void {
    this.#dials.unwant(node);
    node.duplicates = 0;
    this.#timers.clear(node, "redial");
    this.#outputs.push({ type: "unreachable", name: node.name, error, found });
    this.#nodes.touch(node);
  }

  #abandonDial(node: Node, ending: Ending): void {
    if (node.dial === undefined) return;
    this.#end(node.dial.connection, ending);
    this.#dialOver(node);
  }

  /** The dial of `node` came to an end, good or bad. */
  #dialOver(node: Node): void {
    this.#dials.end(node);
    this.#timers.clear(node, "dial", "grace");
  }

  #dialNext(now: Instant): void {
    for (let next = this.#dials.next(); next !== undefined; next = this.#dials.next()) {
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
    for (let timer = this.#timers.expire(now); timer !== undefined; timer = this.#timers.expire(now)) {
      const node = this.#nodes.find(timer.name);
      if (node !== undefined) this.#onTimer(timer.kind, node, now);
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
}

const closing: Ending = { code: "goodbye", reason: "the node is closing" };
const duplicate: Ending = { code: "duplicate", reason: "the two nodes have another connection" };

import { assert, MeshError, toError } from "../base/errors.ts";
import type { NodeId } from "../base/node-id.ts";
import { parseNodeName } from "../base/node-name.ts";
import { atom, type Pid, type Reference, type Term, tuple } from "../etf/index.ts";
import { beamSocketPath } from "../io/beam/paths.ts";
import { monotonicNow, wallNow } from "../io/clock.ts";
import { coreCrypto } from "../io/crypto.ts";
import type { QuicEndpoint } from "../io/quic/index.ts";
import { systemRandom } from "../io/random.ts";
import { sealCrypto } from "../io/seal-crypto.ts";
import {
  type DemonitorOptions,
  type Destination,
  type ExportedModule,
  GenServer,
  type ProcessBody,
  type ProcessCounters,
  ProcessExit,
  type ProcessInfo,
  type ProcessOutput,
  type ProcessRuntime,
  type Self,
  type SpawnOnOptions,
  type SpawnOptions,
  type TimeoutOptions,
} from "../process/index.ts";
import type { MemberView } from "../swim/index.ts";
import { Carrier, type CarrierSetup } from "./beam/carrier.ts";
import { distAlpn } from "./beam/tunnels.ts";
import type { BeamCarrier } from "./beam/types.ts";
import type { Configuration } from "./configuration-schema.ts";
import { Discovery } from "./discovery/index.ts";
import { Emitter } from "./emitter.ts";
import { ErlangNodes } from "./erlang/erlang-nodes.ts";
import type { ErlangNews } from "./erlang/types.ts";
import { Links, type LinksStats, meshCapability } from "./links/index.ts";
import type { Log } from "./log.ts";
import { logBeamNews, logCrash, logErlangNews, logLinkNews, logMembershipNews } from "./log-events.ts";
import { MeshNode } from "./mesh/mesh-node.ts";
import type { Route, Trace } from "./mesh/routes.ts";
import type { MeshStats } from "./mesh/stats.ts";
import { GlobalNames } from "./names.ts";
import { type MaculaNodeOptions, openParts, type Parts } from "./parts.ts";
import { ProcessDriver } from "./process-driver.ts";
import { Ways } from "./ways.ts";

export type { MaculaNodeOptions } from "./parts.ts";

/** What a node tells its program. */
export interface MaculaNodeEvents {
  /** Erlang nodes have no `nodeId`. */
  readonly nodeUp: { readonly node: string; readonly nodeId: NodeId | undefined };
  /** Told once for each `nodeUp`, when something of what the nodes had with each other may be lost. */
  readonly nodeDown: { readonly node: string; readonly nodeId: NodeId | undefined; readonly reason: string };
  /** A member is new, or alive again. */
  readonly memberUp: MemberView;
  /** Somebody got no answer from it: it has a few seconds to show that it lives. */
  readonly memberSuspect: MemberView;
  /** It is dead, or has left. */
  readonly memberDown: MemberView;
  /** It says something else of itself, or a suspicion ended well. */
  readonly memberChanged: MemberView;
  /** A message to the node itself: an exit or DOWN of what it linked or monitors. */
  readonly message: Term;
  /** A listener of another event threw this, or its promise was rejected with it. */
  readonly error: unknown;
}

export interface MaculaNodeStats extends LinksStats {
  readonly mesh: MeshStats;
  readonly processes: { readonly live: number; readonly counters: Readonly<ProcessCounters> };
}

/**
 * A node: processes of its own, and links to other nodes of its realm.
 *
 * Its own calls (`send`, `rpc`, `spawnOn`, `link`, …) come from a process of the node itself; what that receives is the
 * event `message`.
 */
export class MaculaNode implements AsyncDisposable {
  /** In full, with the port. */
  readonly name: string;
  readonly nodeId: NodeId;
  readonly realm: string;
  /** Where it listens (UDP). */
  readonly address: { readonly host: string; readonly port: number };
  readonly #endpoint: QuicEndpoint;
  readonly #stopRenewal: () => void;
  readonly #log: Log;
  readonly #links: Links;
  readonly #erlang: ErlangNodes;
  readonly #mesh: MeshNode;
  readonly #discovery: Discovery;
  readonly #names: GlobalNames;
  readonly #ways: Ways;
  readonly #driver: ProcessDriver;
  readonly #events = new Emitter<MaculaNodeEvents>((thrown, event) => this.#onListenerThrew(thrown, event));
  readonly #onBeamIdle: ((idle: boolean) => void) | undefined;
  #carrier: Carrier | undefined;
  #closing: Promise<void> | undefined;
  #onClosed: () => void = () => {};
  /** Resolves once the node is closed, whoever closed it. */
  readonly closed: Promise<void> = new Promise((resolve) => {
    this.#onClosed = resolve;
  });

  private constructor(parts: Parts) {
    const { name, configuration, identity, endpoint, stopRenewal, log, print } = parts;
    this.name = name;
    this.nodeId = identity.nodeId;
    this.realm = configuration.realm;
    this.address = endpoint.address;
    this.#endpoint = endpoint;
    this.#stopRenewal = stopRenewal;
    this.#log = log;
    this.#onBeamIdle = parts.onBeamIdle;
    const creation = 1 + systemRandom.integer(0xffff_ffff);
    const { links, processes } = configuration;
    this.#links = new Links({
      endpoint,
      nodeId: identity.nodeId,
      name,
      creation,
      crypto: coreCrypto(identity.privateKey),
      random: systemRandom,
      clock: monotonicNow,
      deliver: (delivery, now) => this.#driver.handle(delivery, now),
      onNews: (news) => {
        logLinkNews(log, news);
        const { type } = news;
        if (type === "sessionUp") this.#events.emit("nodeUp", { node: news.name, nodeId: news.nodeId });
        if (type === "sessionDown") {
          this.#events.emit("nodeDown", { node: news.name, nodeId: news.nodeId, reason: news.reason });
        }
      },
      beforeUp: (node) => this.#erlang.distribution.disconnect(node),
      elsewhere: (node, error, waiting) => this.#ways.elsewhere(node, error, waiting),
      link: { ...links, capabilities: ["signals", meshCapability] },
      pool: links,
    });
    this.#mesh = new MeshNode({
      name,
      address: name.slice(name.indexOf("@") + 1),
      publicKey: identity.publicKey,
      crypto: coreCrypto(identity.privateKey),
      seal: sealCrypto(identity.privateKey),
      random: systemRandom,
      clock: monotonicNow,
      wallClock: wallNow,
      links: this.#links,
      remembered: parts.remembered,
      snapshot: parts.snapshot,
      ...(parts.metadata && { metadata: parts.metadata }),
      onNews: (news) => {
        logMembershipNews(log, news);
        this.#events.emit(news.type, news.member);
      },
      creation,
      onNames: (news) => this.#names.onNews(news),
      log,
    });
    this.#discovery = new Discovery(
      {
        self: { name, nodeId: identity.nodeId, realm: configuration.realm },
        address: endpoint.address,
        bootstrap: configuration.bootstrap,
        ...configuration.discovery,
      },
      {
        found: (candidate) => this.#mesh.meet(candidate),
        isReached: (candidate) => this.#mesh.knows(candidate),
        log,
        clock: monotonicNow,
        random: systemRandom,
      },
    );
    this.#erlang = new ErlangNodes({
      name,
      creation,
      random: systemRandom,
      clock: monotonicNow,
      log,
      cookie: configuration.erlangCookie,
      handshakeTimeoutMs: links.handshakeTimeoutMs,
      connectionsMax: links.linksMax,
      failures: { baseMs: links.backoffBaseMs, maxMs: links.backoffMaxMs, rememberedMax: 4_096 },
      calls: { makeReference: () => this.self.makeReference(), caller: () => this.self.pid },
      isTaken: (node) => this.#links.isConnected(node),
      takeOver: (node) => this.#links.surrender(node),
      deliver: (delivery, now) => this.#driver.handle(delivery, now),
      onNews: (news) => this.#onErlangNews(news),
    });
    this.#ways = new Ways(this.#links, this.#erlang, name);
    endpoint.onConnection = (connection) => {
      if (connection.alpn !== distAlpn) this.#links.onConnection(connection);
      else if (this.#carrier === undefined) connection.close(0, "the node is not ready");
      else this.#carrier.onConnection(connection);
    };
    this.#driver = new ProcessDriver(
      {
        node: name,
        creation,
        sink: this.#ways,
        lanes: links.lanesMax,
        canonicalNode: (text) => this.#ways.canonical(text),
        ...processes,
        ...(print && { print }),
      },
      (output) => this.#onProcessOutput(output),
    );
    this.#names = new GlobalNames({
      runtime: this.#driver.runtime,
      request: (request) => this.#mesh.request(request),
      nodeOf: (id) => (id === identity.nodeId ? name : this.#mesh.nameOf(id)),
    });
  }

  /**
   * Starts a node: reads or makes its identity, opens its socket.
   * @throws MeshError `CONFIGURATION` naming a wrong setting, metadata that is too long, a file that others can read, a port in use,
   *   or a missing epmd.
   */
  static async start(options: MaculaNodeOptions): Promise<MaculaNode> {
    const parts = await openParts(options);
    const { configuration, endpoint, stopRenewal, log, modules } = parts;
    let node: MaculaNode;
    try {
      node = new MaculaNode(parts);
    } catch (error) {
      stopRenewal();
      await endpoint.close();
      throw error;
    }
    try {
      await node.#openCarrier(configuration);
    } catch (error) {
      await node.close();
      throw error;
    }
    for (const [module, functions] of modules) node.exportModule(module, functions);
    try {
      if (configuration.epmd) await node.#erlang.listen(node.#runtime, configuration.erlangHost);
    } catch (error) {
      await node.close();
      throw error;
    }
    node.#discovery.start();
    const { name, nodeId, realm, address } = node;
    log.info({ name, nodeId, realm, port: address.port }, "node.started");
    return node;
  }

  // --- Other nodes ---

  /** Whether `node` is reached: by a link, dialled if there is none, or through the mesh. Why it is not: `ping`, and the log. */
  async connect(node: string, options: { readonly signal?: AbortSignal } = {}): Promise<boolean> {
    try {
      await this.#ways.connect(node, options);
      return true;
    } catch (error) {
      if ((error as MeshError).code === "CONFIGURATION") throw error;
      return false;
    }
  }

  /** Ends the link to `node` in order; what was sent before arrives. False when there is none. */
  disconnect(node: string): boolean {
    return this.#ways.disconnect(node);
  }

  /** Names of the nodes that are connected, by a link or through the mesh, Erlang nodes included. */
  nodes(): string[] {
    return this.#ways.connected();
  }

  /**
   * Round trip to `node` in milliseconds, by the link, which is made if there is none, or else through the mesh.
   * @throws MeshError telling why it is not reached: `REFUSED`, `TIMEOUT`, `WRONG_REALM`, `WRONG_NODE`, `PEER_UNREACHABLE`, …
   */
  async ping(
    node: string,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<{ readonly rttMs: number }> {
    const name = this.#ways.canonical(node);
    if (name === this.name) return { rttMs: 0 };
    await this.#ways.connect(name, options);
    if (this.#links.isLinked(name)) return { rttMs: await this.#links.ping(name, options) };
    if (!this.#ways.isErlang(name)) return await this.#mesh.trace(name);
    // As `net_adm:ping/1` does.
    const asked = monotonicNow();
    const kernel = { name: "net_kernel", node: name };
    await GenServer.call(this.self, kernel, tuple(atom("is_auth"), atom(this.name)));
    return { rttMs: monotonicNow() - asked };
  }

  /** All members that are known, this node first, the dead and those that left included. */
  members(): MemberView[] {
    return this.#mesh.members();
  }

  /**
   * Other members are to know this about the node from now on, in place of what `metadata` said at its start.
   * @throws MeshError `CONFIGURATION` above 512 bytes.
   */
  setMetadata(metadata: Uint8Array): void {
    this.#mesh.setMetadata(metadata);
  }

  /** How messages to each living member leave this node now. */
  routes(): Route[] {
    return this.#mesh.routes();
  }

  /**
   * Which way messages to a member take, hop by hop.
   * @throws MeshError `PEER_UNREACHABLE`: no member, no way (who says so is in the message), or no answer.
   */
  trace(node: string): Promise<Trace> {
    return this.#mesh.trace(node);
  }

  /** A node name, or `host:port`, where a member of the mesh may be: dialled once, and joined if there is one. */
  join(address: string): void {
    this.#mesh.join(address);
  }

  /** @returns a function that takes the listener away again. */
  on<Name extends keyof MaculaNodeEvents>(
    event: Name,
    listener: (news: MaculaNodeEvents[Name]) => unknown,
  ): () => void {
    return this.#events.on(event, listener);
  }

  // --- Processes ---

  /** The process of the node itself, for all that has no shorthand here. */
  get self(): Self {
    return this.#runtime.self;
  }

  /** Starts a process. It begins to run when the caller next waits. @throws MeshError `LIMIT`. */
  spawn(body: ProcessBody, options?: SpawnOptions): Pid {
    return this.#open.spawn(body, options);
  }

  /**
   * Starts a process on another node (or this one) that runs a function exported there.
   * @throws MeshError `NOT_EXPORTED`, `LIMIT`, `PEER_UNREACHABLE`, `TIMEOUT`.
   */
  spawnOn(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: SpawnOnOptions,
  ): Promise<Pid> {
    return this.#whileOpen((runtime) => runtime.spawnOn(node, module, name, args, options));
  }

  /**
   * Calls a function exported by another node (or this one).
   * @throws MeshError `REMOTE` when it threw (`cause` has what), `NOT_EXPORTED`, `LIMIT`, `PEER_UNREACHABLE`, `TIMEOUT`.
   */
  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options?: TimeoutOptions,
  ): Promise<Term> {
    return this.#whileOpen((runtime) => runtime.rpc(node, module, name, args, options));
  }

  /**
   * Sends a message; never waits. Sending to nobody is no error, but for a name that is not registered here.
   * @returns false when the receiver has enough for now: await `drained(to)` before sending much more.
   * @throws MeshError `NO_PROCESS`, `ENCODE`, `LIMIT`.
   */
  send(to: Destination, message: Term): boolean {
    return this.#open.send(to, message);
  }

  /** Resolves once the receiver wants more. */
  drained(to: Destination): Promise<void> {
    return this.#whileOpen((runtime) => runtime.drained(to));
  }

  /** @throws MeshError `NO_PROCESS` (no such process here), `LIMIT` (name taken, or process already named). */
  registerName(name: string, pid: Pid): void {
    this.#open.registerName(name, pid);
  }

  unregisterName(name: string): void {
    this.#open.unregister(name);
  }

  /**
   * The process that has the name: one registered at this node, or else globally.
   * @throws MeshError (rejection) `LIMIT`, `TIMEOUT` when the directory does not answer.
   */
  async whereis(name: string): Promise<Pid | undefined> {
    return this.#runtime.whereis(name) ?? (await this.#names.whereis(name));
  }

  /**
   * Gives a process of this node a name that all nodes of the mesh find (docs/names.md). Should another node turn out to have
   * given it away first (after a partition), the process gets `{global_name_conflict, Name}`.
   * @throws MeshError (rejection) `NAME_TAKEN`, `NO_PROCESS`, `LIMIT`, `TIMEOUT`, `CLOSED`.
   */
  registerGlobalName(name: string, pid: Pid): Promise<void> {
    return this.#names.register(name, pid);
  }

  /** @throws MeshError `NO_PROCESS` when this node has not registered it. */
  unregisterGlobalName(name: string): void {
    this.#names.unregister(name);
  }

  registered(): string[] {
    return this.#runtime.registered();
  }

  processes(): Pid[] {
    return this.#runtime.processes();
  }

  /** `undefined` when there is no such process here. */
  processInfo(pid: Pid): ProcessInfo | undefined {
    return this.#runtime.processInfo(pid);
  }

  /** Lets other nodes call and spawn these functions, in place of those exported under `name` before. See `withSelf`. */
  exportModule(name: string, module: ExportedModule): void {
    this.#runtime.exportModule(name, module);
  }

  unexportModule(name: string): void {
    this.#runtime.unexportModule(name);
  }

  /** `{'DOWN', Ref, process, …}` comes as the event `message`. */
  monitor(target: Destination): Reference {
    return this.#open.monitor(target);
  }

  demonitor(ref: Reference, options?: DemonitorOptions): boolean {
    return this.#open.demonitor(ref, options);
  }

  /** Sends an exit signal (`exit/2`). */
  exit(to: Pid, reason: Term): void {
    this.#open.exit(to, reason);
  }

  groupLeader(of: Pid): Pid | undefined {
    return this.#runtime.groupLeader(of);
  }

  setGroupLeader(leader: Pid, of: Pid): void {
    this.#runtime.setGroupLeader(leader, of);
  }

  /** Connections to the distribution of Erlang and Elixir nodes, those attached here and those behind other Macula nodes. */
  get beam(): BeamCarrier {
    assert(this.#carrier !== undefined, "a node is given out before its carrier is open");
    return this.#carrier;
  }

  // --- Life ---

  stats(): MaculaNodeStats {
    return {
      ...this.#links.stats(),
      mesh: this.#mesh.stats(),
      processes: { live: this.#runtime.processes().length, counters: this.#runtime.counters },
    };
  }

  /**
   * Leaves: ends all processes, says farewell, so that the others see the member as `left` and not as dead, ends the links in order
   * and releases the socket. What is told meanwhile takes a few seconds at the most. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #runtime(): ProcessRuntime {
    return this.#driver.runtime;
  }

  /** For what cannot be done any more once the node is closing. @throws MeshError `CLOSED`. */
  get #open(): ProcessRuntime {
    if (this.#closing !== undefined) throw new MeshError("CLOSED", `${this.name} is closed`);
    return this.#runtime;
  }

  /** What `ask` gives; MeshError `CLOSED` when the node is closed before. */
  async #whileOpen<Result>(ask: (runtime: ProcessRuntime) => Promise<Result>): Promise<Result> {
    try {
      return await ask(this.#open);
    } catch (error) {
      // The node's own process has ended, and with it what it was waiting for.
      if (this.#closing === undefined || !(error instanceof ProcessExit)) throw error;
      throw new MeshError("CLOSED", `${this.name} was closed`, { cause: error });
    }
  }

  async #close(): Promise<void> {
    this.#stopRenewal();
    // First the processes: their last signals still travel.
    this.#names.close();
    this.#driver.close();
    await Promise.all([this.#discovery.close(), this.#mesh.leave()]);
    await Promise.all([this.#erlang.close(), this.#mesh.close(), this.#links.close()]);
    await this.#carrier?.close();
    await this.#endpoint.close();
    this.#log.info({ name: this.name }, "node.stopped");
    this.#onClosed();
  }

  async #openCarrier({ beam, stateDir }: Configuration): Promise<void> {
    const { port } = parseNodeName(this.name);
    const setup: CarrierSetup = {
      name: this.name,
      port,
      endpoint: this.#endpoint,
      random: systemRandom,
      managed: this.#onBeamIdle !== undefined,
      onNews: (news) => logBeamNews(this.#log, news),
      ...(this.#onBeamIdle && { onIdle: this.#onBeamIdle }),
    };
    try {
      const attach = beam.attach === "on" && stateDir !== null;
      this.#carrier = await Carrier.open({
        ...setup,
        ...(attach && { socketPath: beamSocketPath(stateDir, port) }),
      });
    } catch (error) {
      // Without BEAM nodes it is of no use, if it was started for them.
      if (this.#onBeamIdle !== undefined) throw error;
      this.#log.warn({ error: toError(error).message }, "beam.unavailable");
      this.#carrier = await Carrier.open(setup);
    }
    this.#erlang.carry(this.#runtime, this.#carrier);
  }

  #onProcessOutput(output: ProcessOutput): void {
    switch (output.type) {
      case "pause":
        this.#ways.pause(output.node, output.stream);
        break;
      case "resume":
        this.#ways.resume(output.node, output.stream);
        break;
      case "connect":
        // The runtime is told how it went.
        void this.connect(output.node).catch(() =>
          this.#driver.handle({ type: "nodeDown", node: output.node }),
        );
        break;
      case "disconnect":
        this.#log.error({ node: output.node, error: output.error.message }, "link.overflow");
        this.#ways.disconnect(output.node);
        break;
      case "crash":
        logCrash(this.#log, output);
        break;
      case "message":
        if (!this.#names.onMessage(output.message)) this.#events.emit("message", output.message);
        break;
      default:
        output satisfies never;
    }
  }

  #onErlangNews(news: ErlangNews): void {
    logErlangNews(this.#log, news);
    if (news.type === "up") this.#events.emit("nodeUp", { node: news.name, nodeId: undefined });
    if (news.type === "down") {
      this.#events.emit("nodeDown", { node: news.name, nodeId: undefined, reason: news.error.message });
    }
  }

  #onListenerThrew(thrown: unknown, event: keyof MaculaNodeEvents): void {
    this.#log.error({ event, error: String(thrown) }, "listener.failed");
    if (event !== "error") this.#events.emit("error", thrown);
  }
}

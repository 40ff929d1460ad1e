import { type MeshError, toError } from "../../base/errors.ts";
import type { NodeId } from "../../base/node-id.ts";
import { parseNodeName } from "../../base/node-name.ts";
import type { Random } from "../../base/random.ts";
import type { Instant } from "../../base/time.ts";
import { SrvResolver } from "../../io/dns/srv.ts";
import { Mdns, type MdnsOptions } from "../../io/mdns/index.ts";
import { Deadlines } from "../links/deadlines.ts";
import type { Log } from "../log.ts";
import { type BootstrapAddress, parseBootstrapAddress } from "./addresses.ts";
import { DiscoveryPlan, type PlanOutput } from "./plan.ts";

/** Where a node of the realm may be: a hint, which only the handshake of a link can prove. */
export interface Candidate {
  /** IP address or host name. */
  readonly host: string;
  readonly port: number;
  /** The node that should be there, in full. */
  readonly name?: string;
  readonly nodeId?: NodeId;
  readonly source: "bootstrap" | "mdns" | "dns";
}

export interface DiscoverySettings {
  /** This node. */
  readonly self: { readonly name: string; readonly nodeId: NodeId; readonly realm: string };
  /** Where it listens (UDP): the IP address, `::` or `0.0.0.0` for all, and the port. */
  readonly address: { readonly host: string; readonly port: number };
  /** `name@host:port` or `host:port`. */
  readonly bootstrap: readonly string[];
  /** `false` for none; the port is for tests. */
  readonly mdns: boolean | Pick<MdnsOptions, "port" | "interfaces">;
  /** `null` for none. */
  readonly dnsDomain: string | null;
  /** `address:port`. Default: the system's. */
  readonly dnsServers?: readonly string[];
}

export interface DiscoverySurroundings {
  /**
   * Somebody to dial. Comes again each round, for bootstrap addresses more often at first, until it is reached: dialling the
   * same twice at a time is for the receiver to avoid.
   */
  readonly found: (candidate: Candidate) => void;
  /** Whether there is a link with it already. */
  readonly isReached: (candidate: Candidate) => boolean;
  readonly log: Log;
  readonly clock: () => Instant;
  readonly random: Random;
}

/**
 * Finds nodes to join by bootstrap addresses, multicast DNS and DNS, side by side: at start and about every 30 s, bootstrap
 * addresses with back-off until they are reached. What fails is logged when it begins to fail, and tried again.
 */
export class Discovery {
  readonly #settings: DiscoverySettings;
  readonly #surroundings: DiscoverySurroundings;
  readonly #own: { readonly host: string; readonly port: number };
  readonly #bootstrap: readonly Candidate[];
  readonly #plan: DiscoveryPlan;
  readonly #deadlines: Deadlines<DiscoveryPlan>;
  readonly #mdns: Mdns | undefined;
  readonly #resolver: SrvResolver | undefined;
  /** Why DNS failed the last time. */
  #dnsFailure: string | undefined;
  #lookingUp: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  /** Does nothing until `start`. @throws MeshError `CONFIGURATION` when a bootstrap address is none. */
  constructor(settings: DiscoverySettings, surroundings: DiscoverySurroundings) {
    const { random, clock } = surroundings;
    const { self, address, mdns, dnsDomain, dnsServers } = settings;
    this.#settings = settings;
    this.#surroundings = surroundings;
    this.#own = parseNodeName(self.name);
    this.#bootstrap = this.#bootstrapCandidates();
    this.#plan = new DiscoveryPlan({
      bootstrap: this.#bootstrap.length,
      mdns: mdns !== false,
      dns: dnsDomain !== null,
      isReached: (index) => surroundings.isReached(this.#bootstrap[index] as Candidate),
      random,
    });
    this.#deadlines = new Deadlines(clock, (_plan, now) => this.#run("tick", now));
    if (mdns !== false) {
      this.#mdns = new Mdns({
        ...(mdns === true ? {} : mdns),
        service: { ...self, port: address.port },
        host: address.host,
        onFound: (instance) => this.#offer({ ...instance, source: "mdns" }),
        onProblem: ({ interface: name, error }) =>
          surroundings.log.warn({ interface: name, error: error.message }, "discovery.mdns_unavailable"),
        random,
        clock,
      });
    }
    if (dnsDomain !== null) {
      this.#resolver = new SrvResolver({ random, ...(dnsServers && { servers: dnsServers }) });
    }
  }

  /** All strategies at once. */
  start(): void {
    this.#run("start", this.#surroundings.clock());
  }

  /** Says goodbye by mDNS; leaves no timer and no socket, and finds nobody any more. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#deadlines.close();
    this.#resolver?.cancel();
    await Promise.all([this.#mdns?.close(), this.#lookingUp]);
  }

  #run(type: "start" | "tick", now: Instant): void {
    if (this.#closing !== undefined) return;
    this.#plan.handle({ type }, now);
    for (let output = this.#plan.poll(); output !== undefined; output = this.#plan.poll()) {
      this.#perform(output);
    }
    this.#deadlines.watch(this.#plan);
  }

  #perform(output: PlanOutput): void {
    switch (output.type) {
      case "try":
        this.#surroundings.found(this.#bootstrap[output.index] as Candidate);
        break;
      case "browse":
        this.#mdns?.round();
        break;
      case "lookUp":
        // A look-up ends long before the next is due.
        this.#lookingUp = this.#lookUp();
        break;
      default:
        output satisfies never;
    }
  }

  async #lookUp(): Promise<void> {
    const { log } = this.#surroundings;
    const { dnsDomain } = this.#settings;
    if (this.#resolver === undefined || dnsDomain === null) return;
    try {
      const targets = await this.#resolver.lookUp(`_macula._udp.${dnsDomain}`);
      this.#dnsFailure = undefined;
      for (const target of targets) this.#offer({ ...target, source: "dns" });
    } catch (thrown) {
      const { code, message } = toError(thrown) as MeshError;
      if (this.#closing !== undefined || message === this.#dnsFailure) return;
      this.#dnsFailure = message;
      log.warn({ domain: dnsDomain, code, error: message }, "discovery.dns_failed");
    }
  }

  #offer(candidate: Candidate): void {
    if (this.#closing !== undefined || this.#isOwn(candidate)) return;
    if (!this.#surroundings.isReached(candidate)) this.#surroundings.found(candidate);
  }

  #isOwn({ host, port, name, nodeId }: Candidate): boolean {
    const { self } = this.#settings;
    if (nodeId !== undefined) return nodeId === self.nodeId;
    return name === self.name || (name === undefined && host === this.#own.host && port === this.#own.port);
  }

  #bootstrapCandidates(): Candidate[] {
    const candidates = new Map<string, Candidate>();
    for (const text of this.#settings.bootstrap) {
      const { host, port, name }: BootstrapAddress = parseBootstrapAddress(text);
      const candidate = { host, port, ...(name !== undefined && { name }), source: "bootstrap" as const };
      // The same list may be given to all nodes, this one included.
      if (!this.#isOwn(candidate)) candidates.set(`${name} ${host} ${port}`, candidate);
    }
    return [...candidates.values()];
  }
}

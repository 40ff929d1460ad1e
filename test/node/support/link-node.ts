import { Pid, type Term } from "../../../src/etf/index.ts";
import type { NodeIdentity } from "../../../src/identity/index.ts";
import { monotonicNow } from "../../../src/io/clock.ts";
import { coreCrypto } from "../../../src/io/crypto.ts";
import { QuicEndpoint, type QuicEndpointOptions } from "../../../src/io/quic/index.ts";
import { systemRandom } from "../../../src/io/random.ts";
import { type LinkDelivery, type LinkNews, Links, type LinksSetup } from "../../../src/node/links/index.ts";
import { testIdentity } from "../../identity/support.ts";

export interface LinkNodeOptions {
  readonly identity?: NodeIdentity;
  /** The part before the @. */
  readonly name?: string;
  readonly port?: number;
  /** The port in its name, when that is not its own; the host is 127.0.0.1 then. */
  readonly publicPort?: number;
  readonly creation?: number;
  readonly setup?: Partial<LinksSetup>;
  readonly quic?: Partial<QuicEndpointOptions>;
  /** Called instead of noting it. */
  readonly onDelivery?: (delivery: LinkDelivery, node: LinkNode) => void;
}

/** A node without processes: links on a real socket, and a note of all that they deliver. */
export class LinkNode implements AsyncDisposable {
  readonly identity: NodeIdentity;
  readonly endpoint: QuicEndpoint;
  readonly links: Links;
  readonly name: string;
  readonly deliveries: LinkDelivery[] = [];
  readonly news: LinkNews[] = [];
  #changed: () => void = () => undefined;

  private constructor(identity: NodeIdentity, endpoint: QuicEndpoint, options: LinkNodeOptions) {
    this.identity = identity;
    this.endpoint = endpoint;
    const at =
      options.publicPort === undefined
        ? `localhost:${endpoint.address.port}`
        : `127.0.0.1:${options.publicPort}`;
    this.name = `${options.name ?? "node"}@${at}`;
    this.links = new Links({
      endpoint,
      nodeId: identity.nodeId,
      name: this.name,
      creation: options.creation ?? 1,
      crypto: coreCrypto(identity.privateKey),
      random: systemRandom,
      clock: monotonicNow,
      deliver: (delivery) => {
        if (options.onDelivery === undefined) this.deliveries.push(delivery);
        else options.onDelivery(delivery, this);
        this.#changed();
      },
      onNews: (news) => {
        this.news.push(news);
        this.#changed();
      },
      ...options.setup,
    });
    endpoint.onConnection = (connection) => this.links.onConnection(connection);
  }

  static async start(options: LinkNodeOptions = {}): Promise<LinkNode> {
    const identity = options.identity ?? (await testIdentity());
    const endpoint = await QuicEndpoint.listen({
      port: options.port ?? 0,
      identity,
      trust: { authorities: identity.authorities },
      ...options.quic,
    });
    return new LinkNode(identity, endpoint, options);
  }

  /** Resolves as soon as `condition` holds, which is looked at after everything that happens. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }

  /** A pid of this node. */
  pid(id = 1): Pid {
    return new Pid(this.name, id, 0, 1);
  }

  sendTo(other: LinkNode, message: Term, lane = 0): boolean {
    return this.links.send(other.name, lane, 0, {
      type: "send",
      from: this.pid(),
      to: other.pid(),
      message,
    });
  }

  /** The messages that came, in their order. */
  messages(): Term[] {
    return this.deliveries.flatMap((each) =>
      each.type === "signal" && each.signal.type === "send" ? [each.signal.message] : [],
    );
  }

  count(type: LinkDelivery["type"]): number {
    return this.deliveries.filter((each) => each.type === type).length;
  }

  /** Vanishes without a word, as a killed process does: the socket is gone, the links do not know. */
  async vanish(): Promise<void> {
    await this.endpoint.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.links.close();
    await this.endpoint.close();
  }
}

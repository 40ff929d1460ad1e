import type { Duplex } from "node:stream";
import { toError } from "../../base/errors.ts";
import { canonicalNodeName, parseNodeName } from "../../base/node-name.ts";
import { Refusal } from "../../carrier/index.ts";
import { CarrierNames, startErlangServices, stockNames } from "../../erlang/index.ts";
import { erlangDigest, readErlangCookie } from "../../io/erlang-cookie.ts";
import { loopbackOf } from "../../io/tcp.ts";
import type { ProcessRuntime } from "../../process/index.ts";
import type { BeamCarrier, Caller } from "../beam/types.ts";
import type { Log } from "../log.ts";
import { Distribution, type DistributionSetup } from "./distribution.ts";
import { StockListener, stockRoute } from "./stock-listener.ts";
import type { ErlangRoute } from "./types.ts";

export interface ErlangNodesSetup extends Omit<DistributionSetup, "digest"> {
  readonly log: Log;
  /** Given by the user. Default: what is in `~/.erlang.cookie`, read when the first Erlang node is to do with. */
  readonly cookie: string | undefined;
}

/** The Erlang side of a node: its distribution, and the ways by which others reach it and are reached. */
export class ErlangNodes {
  readonly distribution: Distribution;
  readonly #setup: ErlangNodesSetup;
  #digest: ((challenge: number) => Uint8Array) | undefined;
  #services: Promise<void> | undefined;
  #listener: StockListener | undefined;
  #stock: ErlangRoute | undefined;
  #carrier: { readonly carrier: BeamCarrier; readonly route: ErlangRoute } | undefined;

  constructor(setup: ErlangNodesSetup) {
    this.#setup = setup;
    this.distribution = new Distribution({
      ...setup,
      // Nothing is dialled or accepted before a way is open.
      digest: (challenge) => this.#digest?.(challenge) ?? new Uint8Array(16),
    });
  }

  /** The way to stock nodes, when it is open. */
  get stock(): ErlangRoute | undefined {
    return this.#stock;
  }

  get carrier(): { readonly carrier: BeamCarrier; readonly route: ErlangRoute } | undefined {
    return this.#carrier;
  }

  /**
   * Opens the way to and from stock nodes.
   * @param host address to listen on; without one, for nodes of this machine only.
   * @throws MeshError `CONFIGURATION`: no cookie, no epmd, or the name is taken there.
   */
  async listen(runtime: ProcessRuntime, host: string | undefined): Promise<void> {
    await this.#prepare(runtime);
    const address = host ?? (await loopbackOf(parseNodeName(this.#setup.name).host));
    const names = stockNames(this.#setup.name);
    const route = stockRoute(names);
    this.#listener = await StockListener.open({
      name: names.own,
      host: address,
      log: this.#setup.log,
      onSocket: (socket, address) => this.distribution.accept(socket, route, address),
    });
    this.#stock = route;
    this.#setup.log.info({ name: names.own, port: this.#listener.port, address }, "erlang.listening");
  }

  /**
   * Opens the way to and from the nodes of a carrier. What that needs is prepared when the first of them is to do with: most
   * Macula nodes never meet one, and are to make no Erlang cookie.
   */
  carry(runtime: ProcessRuntime, carrier: BeamCarrier): void {
    const names = new CarrierNames(this.#setup.name, canonicalNodeName);
    const route: ErlangRoute = {
      names,
      open: async (node, signal) => {
        await this.#prepare(runtime);
        const spellings = names.spellings(node);
        const attached = spellings.filter((spelled) => carrier.nodes().includes(spelled));
        return await openSpelled(carrier, attached.length > 0 ? attached : spellings, signal);
      },
    };
    this.#carrier = { carrier, route };
    carrier.onLocal = (stream, caller) => void this.#accept(runtime, route, stream, caller);
  }

  async #accept(
    runtime: ProcessRuntime,
    route: ErlangRoute,
    stream: Duplex,
    { from, host }: Caller,
  ): Promise<void> {
    // It may break while nobody listens yet.
    stream.on("error", () => undefined);
    try {
      await this.#prepare(runtime);
      this.distribution.accept(stream, route, host);
    } catch (thrown) {
      this.#setup.log.error({ from, error: toError(thrown).message }, "erlang.unavailable");
      stream.destroy();
    }
  }

  async close(): Promise<void> {
    this.#listener?.close();
    if (this.#carrier !== undefined) this.#carrier.carrier.onLocal = undefined;
    await this.distribution.close();
  }

  /** What both ways need: the cookie, and the processes that Erlang nodes expect. */
  async #prepare(runtime: ProcessRuntime): Promise<void> {
    this.#digest ??= erlangDigest(this.#setup.cookie ?? (await readErlangCookie()));
    this.#services ??= startErlangServices(runtime, {
      nameFor: (node) => this.distribution.nameFor(node),
      nodeOf: (name) => this.distribution.nodeOf(name),
    });
    await this.#services;
  }
}

/** The first of the spellings of a node's name under which it is there. @throws MeshError for the likeliest. */
async function openSpelled(
  carrier: BeamCarrier,
  [name = "", ...others]: readonly string[],
  signal: AbortSignal,
): Promise<Duplex> {
  try {
    return await carrier.open(name, { signal });
  } catch (error) {
    if (others.length === 0 || !(error instanceof Refusal) || error.kind !== "notHere") throw error;
    return await openSpelled(carrier, others, signal).catch(() => Promise.reject(error));
  }
}

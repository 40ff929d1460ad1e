import { formatNodeName, parseNodeName } from "../base/node-name.ts";
import type { NodeIdentity } from "../identity/index.ts";
import { defaultAlpn, QuicEndpoint } from "../io/quic/index.ts";
import { peerLanesMax } from "../link/index.ts";
import type { ExportedModule } from "../process/index.ts";
import type { RememberedMember } from "../swim/index.ts";
import { distAlpn } from "./beam/tunnels.ts";
import { resolveConfiguration } from "./configuration.ts";
import type { Configuration, ConfigurationInput } from "./configuration-schema.ts";
import { loadExportedFiles } from "./exported-files.ts";
import { openIdentity } from "./identity.ts";
import { type Log, silentLog } from "./log.ts";
import { Snapshot } from "./mesh/snapshot.ts";
import { keepRenewed } from "./renewal.ts";

/** Settings of a node (`docs/configuration.md` lists them all) and what only a program can give. */
export type MaculaNodeOptions = Omit<ConfigurationInput, "name" | "log"> & {
  /** `name@host:port`: where other nodes find this one. Port 0 picks a free one, which becomes part of the name. */
  readonly name: string;
  /** Where events go: a pino logger, or anything with its four methods. Default: nowhere. */
  readonly logger?: Log;
  /** Gets what processes print whose group leader is this node. Default: discarded. */
  readonly print?: (text: string) => void;
  /** What other members are to know about this one, at most 512 bytes. Default none. */
  readonly metadata?: Uint8Array;
  /** The node was started for BEAM nodes: told when the last has gone (`true`), and when one has come. They may start it again. */
  readonly onBeamIdle?: (idle: boolean) => void;
};

/** What a node is made of, from files, settings and the network. */
export interface Parts {
  /** In full: with the port. */
  readonly name: string;
  readonly configuration: Configuration;
  readonly identity: NodeIdentity;
  readonly endpoint: QuicEndpoint;
  readonly stopRenewal: () => void;
  readonly log: Log;
  readonly print: ((text: string) => void) | undefined;
  readonly metadata: Uint8Array | undefined;
  readonly snapshot: Snapshot | undefined;
  readonly remembered: readonly RememberedMember[];
  readonly modules: ReadonlyMap<string, ExportedModule>;
  readonly onBeamIdle: ((idle: boolean) => void) | undefined;
}

/**
 * Reads or makes the identity, reads what is remembered, opens the socket.
 * @throws MeshError `CONFIGURATION`; nothing stays open then.
 */
export async function openParts(options: MaculaNodeOptions): Promise<Parts> {
  const { logger: log = silentLog, print, metadata, onBeamIdle, ...settings } = options;
  const configuration = resolveConfiguration(settings);
  const wanted = parseNodeName(options.name);
  const modules = await loadExportedFiles(configuration.exports);
  // What is kept is kept under the name that was asked for: with port 0 in it, each life has another.
  const keptAs = formatNodeName(wanted);
  const { identity, renew } = await openIdentity(configuration, keptAs, log);
  const { stateDir, realm } = configuration;
  const snapshot = stateDir === null ? undefined : await Snapshot.open(stateDir, realm, keptAs, log);
  const remembered = (await snapshot?.load()) ?? [];
  const trust = { authorities: identity.authorities, realm };
  const endpoint = await QuicEndpoint.listen({
    ...(configuration.host === "::" ? {} : { host: configuration.host }),
    port: configuration.port ?? wanted.port,
    identity,
    trust,
    alpn: [defaultAlpn, distAlpn],
    connectionsMax: 2 * configuration.links.linksMax,
    handshakeTimeoutMs: configuration.links.handshakeTimeoutMs,
    handshakesPerAddressMax: configuration.links.inboundPerAddressMax,
    // Bytes of a lane that stands still count for the whole link: half of all lanes may, and the others still go on.
    streamWindowBytes: 2 << 20,
    connectionWindowBytes: 128 << 20,
    // A link has one, for control, a tunnel one for each pair of BEAM nodes; each that is allowed takes memory from the start.
    bidirectionalStreamsMax: 32,
    unidirectionalStreamsMax: peerLanesMax,
  });
  endpoint.onError = (error) => log.error({ error: error.message, stack: error.stack }, "quic.error");
  const stopRenewal = keepRenewed({
    identity,
    renew,
    use: (renewed) => endpoint.setIdentity(renewed),
    log,
  });
  // Port 0 in the name: the name has to say where the node is found.
  const name = formatNodeName(wanted.port === 0 ? { ...wanted, port: endpoint.address.port } : wanted);
  return {
    name,
    configuration,
    identity,
    endpoint,
    stopRenewal,
    log,
    print,
    metadata,
    snapshot,
    remembered,
    modules,
    onBeamIdle,
  };
}

import {
  type QuicAddress,
  type QuicConnection,
  QuicEndpoint,
  type QuicEndpointOptions,
} from "../../../src/io/quic/index.ts";
import { type TestNode, TestRealm } from "./certificates.ts";

export interface Pair {
  readonly realm: TestRealm;
  readonly server: QuicEndpoint;
  readonly client: QuicEndpoint;
  readonly serverNode: TestNode;
  readonly clientNode: TestNode;
  /** Where the server listens. */
  readonly target: QuicAddress;
  readonly close: () => Promise<void>;
}

/** Two endpoints of one realm on the loopback interface. */
export async function createPair(
  options: {
    readonly server?: Partial<QuicEndpointOptions>;
    readonly client?: Partial<QuicEndpointOptions>;
  } = {},
): Promise<Pair> {
  const realm = await TestRealm.create();
  const [serverNode, clientNode] = await Promise.all([realm.issue(), realm.issue()]);
  const base = { host: "127.0.0.1", trust: realm.trust };
  const server = await QuicEndpoint.listen({ ...base, identity: serverNode.identity, ...options.server });
  const client = await QuicEndpoint.listen({ ...base, identity: clientNode.identity, ...options.client });
  const target = server.address;
  const close = async () => {
    await Promise.all([server.close(), client.close()]);
  };
  return { realm, server, client, serverNode, clientNode, target, close };
}

/** The next connection that arrives at `endpoint`. */
export function nextConnection(endpoint: QuicEndpoint): Promise<QuicConnection> {
  return new Promise((resolve) => {
    endpoint.onConnection = resolve;
  });
}

/** Both ends of a new connection. */
export async function connectPair(pair: Pair): Promise<{ client: QuicConnection; server: QuicConnection }> {
  const incoming = nextConnection(pair.server);
  const client = await pair.client.connect(pair.target, { nodeId: pair.serverNode.nodeId });
  return { client, server: await incoming };
}

/** Send back what comes, on every stream of every connection. */
export function echo(endpoint: QuicEndpoint): void {
  endpoint.onConnection = (connection) => {
    connection.onStream = (stream) => {
      void (async () => {
        try {
          for await (const chunk of stream) await stream.writeAll(chunk);
          stream.finish();
        } catch {
          // The test that resets or closes looks at its own side.
        }
      })();
    };
    connection.onDatagram = (bytes) => void connection.sendDatagram(bytes);
  };
}

import { formatNodeName, parseNodeName } from "../base/node-name.ts";
import { decode, encode, type Term } from "../etf/index.ts";
import { AdminClient, type RunningNode, runningNodes } from "../node/admin/client.ts";
import { reach } from "../node/admin/requests.ts";
import { runDirectory } from "../node/admin/socket-path.ts";
import type { Configuration } from "../node/configuration-schema.ts";
import { Failure, usageFailure } from "./failure.ts";

/** A way into the mesh for one command. */
export interface Gateway {
  /** The node that is used: a running one, or one started for the command. */
  readonly through: string;
  ping(node: string): Promise<{ readonly rttMs: number }>;
  rpc(
    node: string,
    module: string,
    name: string,
    args: readonly Term[],
    options: { readonly timeoutMs: number },
  ): Promise<Term>;
  close(): Promise<void>;
}

/** The nodes of this user on this machine, of the configured state folder. */
export async function localNodes(configuration: Configuration): Promise<RunningNode[]> {
  return configuration.stateDir === null ? [] : runningNodes(runDirectory(configuration.stateDir));
}

/**
 * Through the running local node called `via`, else through `target` itself if it runs here, else through any other
 * one of the realm, else through a node of our own.
 */
export async function openGateway(
  configuration: Configuration,
  target: string,
  via: string | undefined,
): Promise<Gateway> {
  const running = (await localNodes(configuration)).filter(({ info }) => info.realm === configuration.realm);
  if (via !== undefined && via !== "none") {
    const chosen = running.find(({ info }) => info.name === via);
    if (chosen === undefined)
      throw usageFailure(`--via ${via}: no such node is running here (macula nodes lists them)`);
    return adminGateway(chosen);
  }
  const chosen =
    via === "none" ? undefined : (running.find(({ info }) => info.name === target) ?? running[0]);
  return chosen === undefined ? ownGateway(configuration) : adminGateway(chosen);
}

/** A node name as the user typed it, in full. */
export function fullNodeName(text: string): string {
  return formatNodeName(parseNodeName(text));
}

/** What a request may take beyond its own time-out before we think that the node hangs. */
const answerGraceMs = 10_000;

async function adminGateway({ path, info }: RunningNode): Promise<Gateway> {
  const client = await AdminClient.connect(path);
  return {
    through: info.name,
    ping: async (node) => {
      const answer = await client.ask({ op: "ping", node }, { timeoutMs: 2 * answerGraceMs });
      return answer as { readonly rttMs: number };
    },
    rpc: async (node, module, name, args, { timeoutMs }) => {
      const value = await client.ask(
        {
          op: "rpc",
          node,
          module,
          function: name,
          args: Buffer.from(encode(args, { text: "marked" })).toString("base64"),
          timeoutMs,
        },
        { timeoutMs: timeoutMs + answerGraceMs },
      );
      if (typeof value !== "string")
        throw new Failure("the node's answer cannot be read: is it another version of macula?");
      return decode(Buffer.from(value, "base64"), { binaries: "bytes" });
    },
    close: () => {
      client.close();
      return Promise.resolve();
    },
  };
}

async function ownGateway(configuration: Configuration): Promise<Gateway> {
  // Loaded here, because the engine behind it is not needed when a node is running already.
  const { startShortLivedNode } = await import("./node-starter.ts");
  const { node, log } = await startShortLivedNode(configuration);
  return {
    through: node.name,
    ping: (other) => node.ping(other),
    rpc: async (other, module, name, args, options) => {
      await reach(node, other);
      return node.rpc(other, module, name, args, options);
    },
    close: async () => {
      await node.close();
      log.close();
    },
  };
}

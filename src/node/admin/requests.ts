import { MeshError } from "../../base/errors.ts";
import { decode, encode } from "../../etf/index.ts";
import { version } from "../version.ts";
import type { AdminNode } from "./admin-node.ts";
import { listMembers, listRoutes, measureTrace } from "./mesh-answers.ts";
import type { AdminRequest, NodeInfo } from "./protocol.ts";

type Question = Exclude<AdminRequest, { op: "shell" | "resize" }>;

/** What `node` answers to `request`, as a value for JSON. Rejections become error answers. */
export async function answerRequest(node: AdminNode, request: Question): Promise<unknown> {
  switch (request.op) {
    case "info":
      return nodeInfo(node);
    case "nodes":
      return node.nodes();
    case "stats":
      return node.stats();
    case "members":
      return listMembers(node);
    case "routes":
      return listRoutes(node);
    case "trace":
      return measureTrace(node, request.node);
    case "leave":
      // Whoever runs the node sees that it is closed, and closes the socket that this came by.
      void node.close();
      return null;
    case "connect":
      return node.connect(request.node);
    case "ping":
      return node.ping(request.node);
    case "rpc": {
      const args = decode(Buffer.from(request.args, "base64"), { binaries: "bytes" });
      if (!Array.isArray(args)) throw new MeshError("DECODE", "the arguments of a call are a list");
      const { timeoutMs } = request;
      await reach(node, request.node);
      const value = await node.rpc(request.node, request.module, request.function, args, { timeoutMs });
      return Buffer.from(encode(value, { text: "marked" })).toString("base64");
    }
    default:
      return request satisfies never;
  }
}

/** Makes sure of a link first: a call alone says that the node is gone, but not why it cannot be reached. */
export async function reach(node: AdminNode, other: string): Promise<void> {
  if (other !== node.name && !node.nodes().includes(other)) await node.ping(other);
}

function nodeInfo(node: AdminNode): NodeInfo {
  return {
    name: node.name,
    nodeId: node.nodeId,
    realm: node.realm,
    address: { host: node.address.host, port: node.address.port },
    pid: process.pid,
    version,
    uptimeMs: Math.round(process.uptime() * 1_000),
    processes: node.processes().length,
    nodes: node.nodes(),
  };
}

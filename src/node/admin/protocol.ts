import * as z from "zod";
import type { MeshErrorCode } from "../../base/errors.ts";
import { memberStates } from "../../swim/index.ts";

/*
 * The admin protocol: one JSON object a line, UTF-8, both ways, over the node's Unix socket. The client asks, the node
 * answers each request in turn. After a granted `shell` request the connection carries the raw bytes of a terminal.
 *
 *   → {"id":1,"op":"ping","node":"node2@localhost:4434"}
 *   ← {"id":1,"ok":true,"value":{"rttMs":0.21}}
 *   ← {"id":1,"ok":false,"error":{"code":"PEER_UNREACHABLE","message":"…"}}
 *
 * Terms travel as base64 of their external format, because JSON would lose their types.
 */

/** Bytes in one line at the most: a term of 16 MiB in base64, and some room. */
export const lineBytesMax = 24 * 1_048_576;

const id = z.int().nonnegative();
const nodeName = z.string().min(1).max(255);
const word = z.string().min(1).max(255);
const columns = z.int().min(1).max(10_000);

export const requestSchema = z.discriminatedUnion("op", [
  z.strictObject({ id, op: z.literal("info") }),
  z.strictObject({ id, op: z.literal("nodes") }),
  z.strictObject({ id, op: z.literal("stats") }),
  z.strictObject({ id, op: z.literal("members") }),
  z.strictObject({ id, op: z.literal("routes") }),
  z.strictObject({ id, op: z.literal("trace"), node: nodeName }),
  /** Granted at once; the connection ends when the node has stopped. */
  z.strictObject({ id, op: z.literal("leave") }),
  z.strictObject({ id, op: z.literal("connect"), node: nodeName }),
  z.strictObject({ id, op: z.literal("ping"), node: nodeName }),
  z.strictObject({
    id,
    op: z.literal("rpc"),
    node: nodeName,
    module: word,
    function: word,
    /** A list, in the external term format, in base64. */
    args: z.base64(),
    timeoutMs: z.int().min(1).max(86_400_000),
  }),
  z.strictObject({
    id,
    op: z.literal("shell"),
    /** Whether the client is a terminal: line editing, colours, Tab. */
    terminal: z.boolean(),
    columns,
  }),
  z.strictObject({ id, op: z.literal("resize"), session: z.int(), columns }),
]);

export type AdminRequest = z.output<typeof requestSchema>;

export type AdminResponse =
  | { readonly id: number | null; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number | null;
      readonly ok: false;
      readonly error: { readonly code: MeshErrorCode; readonly message: string };
    };

export const responseSchema = z.union([
  z.object({ id: id.nullable(), ok: z.literal(true), value: z.unknown() }),
  z.object({
    id: id.nullable(),
    ok: z.literal(false),
    error: z.object({ code: z.string(), message: z.string() }),
  }),
]);

/** Answer to `info`. */
export const infoSchema = z.object({
  name: z.string(),
  nodeId: z.string(),
  realm: z.string(),
  address: z.object({ host: z.string(), port: z.number() }),
  pid: z.number(),
  version: z.string(),
  uptimeMs: z.number(),
  processes: z.number(),
  nodes: z.array(z.string()),
});
export type NodeInfo = z.output<typeof infoSchema>;

/** Answer to `members`: the node itself first. */
export const membersSchema = z.array(
  z.object({
    name: z.string(),
    nodeId: z.string(),
    state: z.enum(memberStates),
    address: z.string(),
    incarnation: z.number(),
    /** In base64. */
    metadata: z.base64(),
  }),
);
export type ListedMember = z.output<typeof membersSchema>[number];

/** Answer to `routes`. What is not there is `null`. */
export const routesSchema = z.array(
  z.object({
    node: z.string(),
    nodeId: z.string(),
    way: z.enum(["link", "mesh", "none"]),
    nextHop: z.string().nullable(),
    use: z.enum(["neighbour", "shortcut", "guest"]).nullable(),
    rttMs: z.number().nullable(),
  }),
);
export type ListedRoute = z.output<typeof routesSchema>[number];

/** Answer to `trace`: the node itself first, the target last. */
export const traceSchema = z.object({
  hops: z.array(
    z.object({
      /** `null` for a node that is no member here. */
      node: z.string().nullable(),
      nodeId: z.string().nullable(),
      /** There and back, `null` without an answer. */
      rttMs: z.number().nullable(),
    }),
  ),
  rttMs: z.number(),
});
export type MeasuredTrace = z.output<typeof traceSchema>;

import type { Duplex } from "node:stream";
import type { MeshError } from "../../base/errors.ts";
import type { NodeNames } from "../../erlang/index.ts";

/** A way to Erlang nodes: epmd and TCP, or the carrier. */
export interface ErlangRoute {
  /** What nodes are called on connections of this kind. */
  readonly names: NodeNames;
  /** A byte stream to the distribution listener of `node`, before its first byte. @throws MeshError */
  open(node: string, signal: AbortSignal): Promise<Duplex>;
}

/** News for logs and metrics. */
export type ErlangNews =
  | { readonly type: "up"; readonly name: string; readonly address: string }
  | { readonly type: "down"; readonly name: string; readonly error: MeshError }
  /** A dial failed; what waited for the node was told. */
  | { readonly type: "unreachable"; readonly name: string; readonly error: MeshError }
  /** A peer's connection ended before it was one. `name` is what it said, unproven. */
  | {
      readonly type: "refused";
      readonly name: string | undefined;
      readonly address: string;
      readonly error: MeshError;
    };

import type { CoreCrypto } from "../base/crypto.ts";
import type { MeshError } from "../base/errors.ts";
import type { Point } from "../base/id-space.ts";
import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import type { Instant } from "../base/time.ts";
import type { NameRecord } from "./claim.ts";

/** What a program wants. */
export type NamesRequest =
  /** Get the name for `value`; `registered`, `taken` or `failed` answers under the same `token`. */
  | {
      readonly type: "register";
      readonly token: number;
      readonly name: string;
      /** What others find under it; opaque here, at most 512 bytes. */
      readonly value: Uint8Array;
    }
  /** Give the name up, or the attempt to get it. */
  | { readonly type: "unregister"; readonly name: string }
  /** `resolved` or `failed` answers. */
  | { readonly type: "whereis"; readonly token: number; readonly name: string };

/** What is asked of the directory: inputs of Kademlia as they are. */
export type DirectoryRequest =
  | { readonly type: "get"; readonly token: number; readonly key: Point; readonly holders: number }
  | {
      readonly type: "publish";
      readonly kind: number;
      readonly key: Point;
      readonly value: Uint8Array;
      readonly ttlMs: number;
    }
  | { readonly type: "withdraw"; readonly kind: number; readonly key: Point };

export type NamesInput =
  | NamesRequest
  /** A member that was not there before, was held for dead, or is in a new life: it may come from another side of a partition. */
  | { readonly type: "memberUp"; readonly id: NodeId }
  /** The directory's answer to `get`. */
  | { readonly type: "found"; readonly token: number; readonly records: readonly NameRecord[] }
  /** The directory's answer to `publish`, and each time it stored the record again. */
  | { readonly type: "published"; readonly kind: number; readonly key: Point }
  /** The directory has too much to do for what was asked. */
  | {
      readonly type: "refused";
      readonly input:
        | Pick<Extract<DirectoryRequest, { type: "get" }>, "type" | "token">
        | Pick<Extract<DirectoryRequest, { type: "publish" | "withdraw" }>, "type" | "kind" | "key">;
      readonly error: MeshError;
    }
  | { readonly type: "tick" };

/** What a program is told. */
export type NamesNews =
  | { readonly type: "registered"; readonly token: number }
  /** The name is another's, or was this node's already. */
  | { readonly type: "taken"; readonly token: number; readonly by: NodeId }
  | {
      readonly type: "resolved";
      readonly token: number;
      readonly holder: { readonly owner: NodeId; readonly value: Uint8Array } | undefined;
    }
  /** `LIMIT` a bound, also of the name itself; `TIMEOUT` no answer of the directory; `CLOSED` unregistered meanwhile. Nothing is registered. */
  | { readonly type: "failed"; readonly token: number; readonly error: MeshError }
  /** A name that this node had turned out to be another's: it is withdrawn. */
  | { readonly type: "conflict"; readonly name: string; readonly lostTo: NodeId };

export type NamesOutput = DirectoryRequest | NamesNews;

/** What surrounds the machine. */
export interface NamesSetup {
  readonly self: NodeId;
  /** Tells this life of the node from others, 32 bits: its creation. */
  readonly life: number;
  readonly crypto: CoreCrypto;
  readonly random: Random;
  /** Milliseconds since 1970 at `now`. */
  readonly wallClock: (now: Instant) => number;
  /** The life of another member that is alive, as far as is known; `undefined` for all others: their names do not count. */
  readonly lifeOf: (id: NodeId) => number | undefined;
}

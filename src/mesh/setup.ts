import type { CoreCrypto } from "../base/crypto.ts";
import type { Random } from "../base/random.ts";
import type { Instant } from "../base/time.ts";
import type { KademliaOptions } from "../kademlia/index.ts";
import type { RingOptions } from "../ring/index.ts";
import type { ChannelsOptions, ForwarderOptions, SealCrypto } from "../routing/index.ts";
import type { RecordCache, RememberedMember, SwimOptions } from "../swim/index.ts";

/** Settings of the parts. */
export interface MeshOptions {
  readonly swim?: SwimOptions;
  readonly ring?: RingOptions;
  readonly kademlia?: KademliaOptions;
  readonly forwarder?: ForwarderOptions;
  readonly channels?: ChannelsOptions;
}

export interface MeshSetup {
  readonly name: string;
  /** `host:port` where this node can be dialled. */
  readonly address: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array;
  readonly crypto: CoreCrypto;
  readonly seal: SealCrypto;
  readonly random: Random;
  /** Milliseconds since 1970 at `now`. */
  readonly wallClock: (now: Instant) => number;
  readonly metadata?: Uint8Array;
  /** Whom the last life knew. */
  readonly remembered?: readonly RememberedMember[];
  readonly options?: MeshOptions;
  /** Shared by simulated nodes, so that they keep each record once. */
  readonly records?: RecordCache;
}

/** Settings of forwarding. */
export interface ForwarderOptions {
  /** Links that a packet may cross, 1 … 255. Default 40: far above log2 of any mesh, it ends circles that lying relays make. */
  readonly hopsMax?: number;
  /** Longest payload carried for others, bytes. Default 66,560: a channel's 64 KiB and its header. */
  readonly payloadBytesMax?: number;
  /** Bytes waiting for one full link from which packets are refused. Default 256 KiB. */
  readonly linkQueueBytesMax?: number;
  /** The same over all links. Default 16 MiB. */
  readonly queueBytesMax?: number;
  /** How long a neighbour that is busy is spared, milliseconds, 1 … 10,000. Default 100. */
  readonly busyMs?: number;
}

export function resolveForwarderOptions(given: ForwarderOptions = {}): Required<ForwarderOptions> {
  const options = {
    hopsMax: 40,
    payloadBytesMax: 66_560,
    linkQueueBytesMax: 256 << 10,
    queueBytesMax: 16 << 20,
    busyMs: 100,
    ...given,
  };
  within("hopsMax", options.hopsMax, 1, 255);
  within("payloadBytesMax", options.payloadBytesMax, 1, 16 << 20);
  within("linkQueueBytesMax", options.linkQueueBytesMax, 1, options.queueBytesMax);
  within("busyMs", options.busyMs, 1, 10_000);
  return options;
}

function within(name: string, value: number, least: number, most: number): void {
  if (!(value >= least && value <= most))
    throw new RangeError(`${name} is ${value}, allowed are ${least} to ${most}`);
}

/** Settings of sealed channels. */
export interface ChannelsOptions {
  /** Longest message, bytes. Default 64 KiB: longer ones are cut by whoever sends them. */
  readonly messageBytesMax?: number;
  /** Bytes that wait for one node from which `send` is refused. Default 4 MiB. */
  readonly queueBytesMax?: number;
  /** Messages under way to one node at most, 1 … 1,024. Default 256. */
  readonly windowMax?: number;
  /** Silence of the other node after which messages to it are given up, milliseconds. Default 15,000: longer than a dead link on the way goes unnoticed. */
  readonly giveUpMs?: number;
  /** Times in a row that somebody says there is no way, until it is believed, ≥ 1. Default 8. */
  readonly noRouteMax?: number;
  /** A channel without a message is forgotten by its opener after, milliseconds; by the other after twice that. Default 30,000. */
  readonly idleMs?: number;
  /** Channels from other nodes, ≥ 1. Default 4,096; further ones are not answered. */
  readonly incomingMax?: number;
  /** Bytes of messages that wait for earlier ones or for a paused receiver, over all channels. Default 64 MiB. */
  readonly reorderBytesMax?: number;
  /** Key agreements per second that packets of one neighbour may cause, ≥ 1. Default 50. Threat: each costs half a millisecond. */
  readonly agreementsPerSecond?: number;
}

export function resolveChannelsOptions(given: ChannelsOptions = {}): Required<ChannelsOptions> {
  const options = {
    messageBytesMax: 65_536,
    queueBytesMax: 4 << 20,
    windowMax: 256,
    giveUpMs: 15_000,
    noRouteMax: 8,
    idleMs: 30_000,
    incomingMax: 4_096,
    reorderBytesMax: 64 << 20,
    agreementsPerSecond: 50,
    ...given,
  };
  for (const [name, value] of Object.entries(options)) within(name, value, 1, Infinity);
  within("windowMax", options.windowMax, 1, 1_024);
  within("messageBytesMax", options.messageBytesMax, 1, 65_536);
  return options;
}

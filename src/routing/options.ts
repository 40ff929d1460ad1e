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

import type { BufferPool } from "../../base/buffer-pool.ts";
import { MeshError } from "../../base/errors.ts";
import { Lanes } from "../../link/index.ts";
import { frameType } from "../../wire/index.ts";

/** Lane 0 is for what the two nodes have to say to each other, the others are for what passes through. */
const forwardLanes = 3;

const options = {
  laneHighWaterBytes: 256 << 10,
  laneQueueBytesMax: 16 << 20,
  peerQueueBytesMax: 32 << 20,
};

/**
 * What the mesh says over a link, in lanes of its own: no process that does not read can hold it up. What is forwarded for the
 * same two nodes takes the same lane, so that one stalled pair is in the way of a third of the others at most.
 */
export class MeshLanes {
  readonly lanes: Lanes;
  #payload = new Uint8Array(0);
  #droppedBytes = 0;
  #full = 0;

  constructor(buffers: BufferPool) {
    this.lanes = new Lanes(options, buffers);
  }

  /** Frames for which there was no room, bytes. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  /** Queues a frame. False from the moment on at which the link should be given no more FORWARD. */
  send(type: number, payload: Uint8Array): boolean {
    const lane = type === frameType.forward ? 1 + (pairOf(payload) % forwardLanes) : 0;
    this.#payload = payload as Uint8Array<ArrayBuffer>;
    let below: boolean;
    try {
      below = this.lanes.frame(lane, 0, type, this.#write);
    } catch (error) {
      if (!(error instanceof MeshError)) throw error;
      this.#droppedBytes += payload.length;
      return true;
    }
    if (below || lane === 0) return true;
    this.#full |= 1 << lane;
    return false;
  }

  /** After a flush: whether the link takes FORWARD again, having taken none. */
  drained(): boolean {
    if (this.#full === 0) return false;
    for (let lane = this.lanes.nextDrained(); lane !== undefined; lane = this.lanes.nextDrained())
      this.#full &= ~(1 << lane);
    return this.#full === 0;
  }

  readonly #write = (writer: { raw(bytes: Uint8Array): void }): void => writer.raw(this.#payload);
}

/** The last bytes of target and source: ids are random. */
function pairOf(payload: Uint8Array): number {
  return (payload[35] ?? 0) + (payload[67] ?? 0);
}

import { MeshError } from "../base/errors.ts";
import { Queue } from "../base/queue.ts";
import { after, earliest, type Instant } from "../base/time.ts";
import { type Allocate, Assembly } from "./assembly.ts";
import type { ReassemblyBudget } from "./budgets.ts";
import { inflatePayload } from "./compression.ts";
import { fragmentFault, fragmentHeaderBytes, readFragmentHeader, u32 } from "./fragment.ts";
import { frameFlag, frameHeaderBytes, headerFault, protocolVersion } from "./frame.ts";
import { interleavedMax, payloadMaxBytes } from "./limits.ts";

/** A message as the layer above gets it: put together and inflated. */
export interface Frame {
  readonly type: number;
  /** If not `owned`, a view of the bytes that were fed: it stands as long as their owner leaves them alone. */
  readonly payload: Uint8Array;
  /** `payload` has a buffer of its own. */
  readonly owned: boolean;
}

export interface InboxOptions {
  /** Memory for incomplete messages, shared by the inboxes of one peer. */
  readonly budget: ReassemblyBudget;
  /** Messages begun and not finished, at least 8, which is what senders use. Default 8. */
  readonly incompleteMax?: number;
  /** How long an incomplete message may wait for its next byte, milliseconds, > 0. Default 60,000. */
  readonly incompleteTimeoutMs?: number;
  /** The longest payload accepted, bytes, 1 … 2^24; small before the peer is authenticated. Default 2^24. */
  readonly payloadMaxBytes?: number;
  /** Buffers for messages that arrive in pieces. Default: new arrays, which are zeroed for nothing. */
  readonly allocate?: Allocate;
}

/** A fragmented message that is not complete. */
interface Incomplete {
  readonly message: number;
  readonly type: number;
  readonly compressed: boolean;
  readonly assembly: Assembly;
}

/** The frame whose payload is arriving. */
interface Arriving {
  readonly type: number;
  readonly compressed: boolean;
  readonly assembly: Assembly;
  /** Of the frame; a fragment's message may go on. */
  missing: number;
  /** Set when the frame is a fragment. */
  readonly of: Incomplete | undefined;
}

const known = frameFlag.compressed | frameFlag.fragmented;
const nothing = new Uint8Array(0);
/** Less than this is not worth a call of its own. */
const roomBytesMin = 1_024;

/**
 * One incoming stream: bytes in, messages out. Pull until `next` gives nothing; then nothing of what was fed is kept.
 *
 * Frames that lie whole within what was fed are handed on in place; others, and fragments, are copied once.
 * After an error the stream is lost, and every further call fails with it.
 */
export class Inbox {
  readonly #options: Required<InboxOptions>;
  readonly #chunks = new Queue<Uint8Array>();
  #chunk: Uint8Array = nothing;
  /** Bytes in `#chunks`. */
  #queuedBytes = 0;
  /** How much of `#chunk` is read. */
  #offset = 0;
  /** The beginning of a frame whose headers are not whole yet. */
  readonly #header = new Uint8Array(frameHeaderBytes + fragmentHeaderBytes);
  #headerLength = 0;
  #arriving: Arriving | undefined;
  readonly #incomplete = new Map<number, Incomplete>();
  #paused = false;
  #failure: MeshError | undefined;

  /** @throws RangeError when an option is out of its range. */
  constructor(options: InboxOptions) {
    this.#options = resolveInboxOptions(options);
  }

  /** Bytes that were fed and not read yet. */
  get bufferedBytes(): number {
    return this.#chunk.length - this.#offset + this.#queuedBytes;
  }

  /** Messages begun and not finished. */
  get incompleteCount(): number {
    return this.#incomplete.size;
  }

  /** Adds what came from the stream. `bytes` must stay as they are until `next` has given nothing. */
  feed(bytes: Uint8Array): void {
    if (this.#offset === this.#chunk.length && this.#chunks.length === 0) {
      this.#chunk = bytes;
      this.#offset = 0;
    } else {
      this.#chunks.push(bytes);
      this.#queuedBytes += bytes.length;
    }
  }

  /**
   * Where the bytes that come next belong, when they are many and all of one message; else `undefined`. Only after
   * `next` has given nothing. Whoever puts them there, in order, and says `filled`, need not `feed` them: a long
   * message is not copied then.
   * @throws MeshError `LIMIT` as `next`.
   */
  room(): Uint8Array | undefined {
    const arriving = this.#arriving;
    if (arriving === undefined || arriving.missing < roomBytesMin || this.bufferedBytes > 0) return undefined;
    return this.#guarded(() => arriving.assembly.room(arriving.missing));
  }

  /**
   * So many bytes (≥ 1) were put into `room`; returns the message that they complete.
   * @throws MeshError as `next`.
   */
  filled(bytes: number, now: Instant): Frame | undefined {
    return this.#guarded(() => {
      const arriving = this.#arriving as Arriving;
      arriving.assembly.filled(bytes);
      return this.#arrived(arriving, bytes, now);
    });
  }

  /**
   * The next message, in the order in which the last bytes of each arrived; `undefined` until more is fed.
   * @throws MeshError for what no honest peer sends, and the stream should be closed: `VERSION_MISMATCH`
   *   (`unsupported_version`), `DECODE` (`invalid_packet`), `LIMIT` when it exceeds a bound of ours.
   */
  next(now: Instant): Frame | undefined {
    if (this.#failure !== undefined) throw this.#failure;
    // The common case, without a closure.
    const frame = this.#headerLength === 0 && this.#arriving === undefined ? this.#wholeFrame() : undefined;
    return frame ?? this.#guarded(() => this.#nextOfAnyKind(now));
  }

  /** When to call `expire`; `undefined` while nothing is incomplete, or paused. */
  deadline(): Instant | undefined {
    if (this.#paused || this.#failure !== undefined) return undefined;
    if (this.#arriving === undefined && this.#incomplete.size === 0) return undefined;
    let next = this.#arriving?.assembly.deadline;
    for (const { assembly } of this.#incomplete.values()) next = earliest(next, assembly.deadline);
    return next;
  }

  /**
   * Gives up when an incomplete message has waited too long for its next byte.
   * @throws MeshError `TIMEOUT`: dropping the message alone would tear a hole into an ordered stream, so the stream
   *   should be closed.
   */
  expire(now: Instant): void {
    const deadline = this.deadline();
    if (deadline === undefined || deadline > now) return;
    const waited = this.#options.incompleteTimeoutMs;
    this.#fail(new MeshError("TIMEOUT", `an incomplete message got nothing for ${waited} ms`));
    throw this.#failure;
  }

  /** We stop reading the stream: what does not arrive now is not the peer's fault. */
  pause(): void {
    this.#paused = true;
  }

  /** We read again; incomplete messages wait from now on. */
  resume(now: Instant): void {
    this.#paused = false;
    const wait = this.#options.incompleteTimeoutMs;
    this.#arriving?.assembly.postpone(now, wait);
    for (const { assembly } of this.#incomplete.values()) assembly.postpone(now, wait);
  }

  /**
   * The peer ended the stream, and everything is read.
   * @throws MeshError `DECODE` when it ended within a message.
   */
  end(): void {
    if (this.#failure !== undefined) return;
    const whole = this.#headerLength === 0 && this.#arriving === undefined && this.#incomplete.size === 0;
    if (whole && this.bufferedBytes === 0) return;
    this.#fail(invalid("the stream ended within a message"));
    throw this.#failure;
  }

  /** The stream is gone: drops everything and gives its memory back. Idempotent. */
  close(): void {
    this.#fail(new MeshError("CLOSED", "the stream is closed"));
  }

  #nextOfAnyKind(now: Instant): Frame | undefined {
    for (;;) {
      const frame = this.#headerLength === 0 && this.#arriving === undefined ? this.#wholeFrame() : undefined;
      if (frame !== undefined) return frame;
      if (this.#offset === this.#chunk.length && !this.#nextChunk()) return undefined;
      const finished = this.#arriving === undefined ? this.#readHeader(now) : this.#readPayload(now);
      if (finished !== undefined) return finished;
    }
  }

  /** After an error the stream is lost. */
  #guarded<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (error instanceof MeshError) this.#fail(error);
      throw error;
    }
  }

  /** The frame at the cursor if it is of the common kind: whole, neither compressed nor a piece. */
  #wholeFrame(): Frame | undefined {
    const chunk = this.#chunk;
    const start = this.#offset;
    const room = chunk.length - start - frameHeaderBytes;
    // The bound for everything indexed here.
    if (room < 0) return undefined;
    const length = u32(chunk, start + 4);
    if (length > room || length > this.#options.payloadMaxBytes) return undefined;
    if (chunk[start] !== protocolVersion || ((chunk[start + 3] as number) & known) !== 0) return undefined;
    const end = start + frameHeaderBytes + length;
    this.#offset = end;
    const payload = chunk.subarray(start + frameHeaderBytes, end);
    return { type: chunk[start + 1] as number, payload, owned: false };
  }

  /** Collects the headers of a frame of any kind, across chunks. */
  #readHeader(now: Instant): Frame | undefined {
    const header = this.#header;
    this.#fillHeader(frameHeaderBytes);
    if (this.#headerLength > 0 && header[0] !== protocolVersion) {
      const message = `unsupported_version: ${header[0]}, only ${protocolVersion} is spoken`;
      throw new MeshError("VERSION_MISMATCH", message);
    }
    if (this.#headerLength < frameHeaderBytes) return undefined;
    const flags = header[3] as number;
    const length = u32(header, 4);
    const fault = headerFault(flags, length);
    if (fault !== undefined) throw invalid(fault);
    const fragmented = (flags & frameFlag.fragmented) !== 0;
    this.#checkLength(fragmented ? length - fragmentHeaderBytes : length);
    if (fragmented) {
      this.#fillHeader(frameHeaderBytes + fragmentHeaderBytes);
      if (this.#headerLength < header.length) return undefined;
    }
    this.#headerLength = 0;
    const type = header[1] as number;
    const compressed = (flags & frameFlag.compressed) !== 0;
    if (fragmented) {
      this.#arriving = this.#beginPiece(type, compressed, length - fragmentHeaderBytes, now);
      return undefined;
    }
    if (length <= this.#chunk.length - this.#offset) {
      const start = this.#offset;
      this.#offset += length;
      return this.#frame(type, compressed, this.#chunk.subarray(start, start + length), false);
    }
    this.#arriving = {
      type,
      compressed,
      assembly: this.#assembly(length, now),
      missing: length,
      of: undefined,
    };
    return undefined;
  }

  #fillHeader(length: number): void {
    const wanted = Math.min(length - this.#headerLength, this.#chunk.length - this.#offset);
    if (wanted <= 0) return;
    this.#header.set(this.#chunk.subarray(this.#offset, this.#offset + wanted), this.#headerLength);
    this.#headerLength += wanted;
    this.#offset += wanted;
  }

  #beginPiece(type: number, compressed: boolean, length: number, now: Instant): Arriving {
    const header = readFragmentHeader(this.#header, frameHeaderBytes);
    const fault = fragmentFault(header, length);
    if (fault !== undefined) throw invalid(fault);
    const of = this.#incomplete.get(header.message) ?? this.#beginMessage(type, compressed, header, now);
    const { assembly } = of;
    // The stream keeps order, so a piece that does not continue its message is a lie and not a loss.
    if (
      of.type !== type ||
      of.compressed !== compressed ||
      assembly.total !== header.total ||
      assembly.length !== header.offset
    ) {
      throw invalid(`fragment at ${header.offset} does not continue message ${header.message}`);
    }
    return { type, compressed, assembly, missing: length, of };
  }

  #beginMessage(
    type: number,
    compressed: boolean,
    { message, total, offset }: ReturnType<typeof readFragmentHeader>,
    now: Instant,
  ): Incomplete {
    if (offset !== 0) throw invalid(`fragment at ${offset} of message ${message}, which was not begun`);
    this.#checkLength(total);
    const { incompleteMax } = this.#options;
    if (this.#incomplete.size >= incompleteMax) {
      throw new MeshError("LIMIT", `more than ${incompleteMax} incomplete messages on one stream`);
    }
    const incomplete = { message, type, compressed, assembly: this.#assembly(total, now) };
    this.#incomplete.set(message, incomplete);
    return incomplete;
  }

  #readPayload(now: Instant): Frame | undefined {
    const arriving = this.#arriving as Arriving;
    const start = this.#offset;
    const end = start + Math.min(arriving.missing, this.#chunk.length - start);
    arriving.assembly.append(this.#chunk.subarray(start, end));
    this.#offset = end;
    return this.#arrived(arriving, end - start, now);
  }

  /** The message that `bytes` more of what is arriving complete. */
  #arrived(arriving: Arriving, bytes: number, now: Instant): Frame | undefined {
    const { assembly, of } = arriving;
    assembly.postpone(now, this.#options.incompleteTimeoutMs);
    arriving.missing -= bytes;
    if (arriving.missing > 0) return undefined;
    this.#arriving = undefined;
    if (assembly.length < assembly.total) return undefined;
    if (of !== undefined) this.#incomplete.delete(of.message);
    return this.#frame(arriving.type, arriving.compressed, assembly.finish(), true);
  }

  #frame(type: number, compressed: boolean, payload: Uint8Array, owned: boolean): Frame {
    if (!compressed) return { type, payload, owned };
    return { type, payload: inflatePayload(payload, this.#options.payloadMaxBytes), owned: true };
  }

  #assembly(total: number, now: Instant): Assembly {
    const { budget, allocate, incompleteTimeoutMs } = this.#options;
    return new Assembly(total, budget, allocate, after(now, incompleteTimeoutMs));
  }

  #checkLength(length: number): void {
    const limit = this.#options.payloadMaxBytes;
    if (length <= limit) return;
    throw new MeshError("LIMIT", `payload_too_large: ${length} bytes, at most ${limit} are allowed here`);
  }

  #nextChunk(): boolean {
    this.#chunk = this.#chunks.shift() ?? nothing;
    this.#queuedBytes -= this.#chunk.length;
    this.#offset = 0;
    return this.#chunk.length > 0 || this.#chunks.length > 0;
  }

  #fail(error: MeshError): void {
    this.#failure ??= error;
    for (const { assembly } of this.#incomplete.values()) assembly.release();
    // A fragment's memory belongs to its message, which was just released.
    if (this.#arriving?.of === undefined) this.#arriving?.assembly.release();
    this.#incomplete.clear();
    this.#arriving = undefined;
    this.#chunks.clear();
    this.#queuedBytes = 0;
    this.#chunk = nothing;
    this.#offset = 0;
  }
}

function resolveInboxOptions(given: InboxOptions): Required<InboxOptions> {
  const options = {
    incompleteMax: interleavedMax,
    incompleteTimeoutMs: 60_000,
    payloadMaxBytes,
    allocate: (bytes: number) => new Uint8Array(bytes),
    ...given,
  };
  if (!(options.incompleteMax >= interleavedMax)) {
    throw new RangeError(`incompleteMax must be at least ${interleavedMax}`);
  }
  if (!(options.incompleteTimeoutMs > 0)) throw new RangeError("incompleteTimeoutMs must be above 0");
  if (!(options.payloadMaxBytes >= 1 && options.payloadMaxBytes <= payloadMaxBytes)) {
    throw new RangeError(`payloadMaxBytes must be 1 to ${payloadMaxBytes}`);
  }
  return options;
}

function invalid(message: string): MeshError {
  return new MeshError("DECODE", `invalid_packet: ${message}`);
}

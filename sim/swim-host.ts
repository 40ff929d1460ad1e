import type { HostContext, HostInput, HostOutput, Instant, NodeId } from "../src/sim/index.ts";
import { Swim, type SwimInput, type SwimOptions, type SwimOutput } from "../src/swim/index.ts";
import { decodeFrame, encodeFrame, frameType } from "../src/wire/index.ts";
import {
  describeFrame,
  type Introduction,
  type MemberHost,
  type MemberHostSetup,
  newsText,
} from "./member-host.ts";

export interface SwimHostSetup extends MemberHostSetup {
  readonly options?: SwimOptions;
}

/** A node of nothing but membership, as the composition of a real node would run it: payloads in frames. */
export class SwimHost implements MemberHost {
  readonly context: HostContext;
  readonly swim: Swim;
  farewellTold = false;
  readonly #setup: SwimHostSetup;

  constructor(context: HostContext, setup: SwimHostSetup) {
    this.context = context;
    this.#setup = setup;
    const { publicKey, crypto, random, name, address } = context;
    this.swim = new Swim(
      {
        publicKey,
        crypto,
        random,
        name: `${name}@${address}`,
        address,
        records: setup.records,
        ...(setup.options === undefined ? {} : { options: setup.options }),
        ...(setup.remembered === undefined ? {} : { remembered: setup.remembered }),
      },
      context.startedAt,
    );
  }

  handle(input: HostInput, now: Instant): void {
    const translated = translate(input);
    if (translated !== undefined) this.swim.handle(translated, now);
  }

  poll(): HostOutput | undefined {
    for (let output = this.swim.poll(); output !== undefined; output = this.swim.poll()) {
      const translated = this.#carryOut(output);
      if (translated !== undefined) return translated;
    }
    return undefined;
  }

  deadline(): Instant | undefined {
    return this.swim.deadline();
  }

  join(address: string, now: Instant): void {
    this.swim.handle({ type: "join", address }, now);
  }

  leave(now: Instant): void {
    this.swim.handle({ type: "leave" }, now);
  }

  introduce(peer: { readonly id: NodeId; readonly address: string }, said: Introduction, now: Instant): void {
    const { id, address } = peer;
    this.swim.handle({ type: "linkUp", peer: id, address }, now);
    for (const payload of said) this.swim.handle({ type: "message", from: id, payload }, now);
    this.swim.handle({ type: "linkDown", peer: id, reason: "closed" }, now);
    while (this.swim.poll() !== undefined);
  }

  describe(bytes: Uint8Array): string {
    return describeFrame(bytes);
  }

  #carryOut(output: SwimOutput): HostOutput | undefined {
    switch (output.type) {
      case "datagram":
        return { type: "datagram", to: output.to, bytes: encodeFrame(frameType.probe, output.payload) };
      case "message":
        return { type: "message", to: output.to, bytes: encodeFrame(frameType.members, output.payload) };
      case "wantLink":
      case "dropLink":
        return output;
      case "farewellTold":
        this.farewellTold = true;
        return { type: "news", text: "farewell told" };
      default:
        this.#setup.onNews?.(output, this.swim.id);
        return { type: "news", text: newsText(output) };
    }
  }
}

function translate(input: HostInput): SwimInput | undefined {
  if (input.type !== "datagram" && input.type !== "message") return input;
  const decoded = decodeFrame(input.bytes);
  const type = input.type === "datagram" ? frameType.probe : frameType.members;
  if (decoded.result !== "frame" || decoded.frame.type !== type) return undefined;
  return { type: input.type, from: input.from, payload: decoded.frame.payload };
}

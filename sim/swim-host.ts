import type { HostContext, HostInput, HostOutput, Instant, SimulatedHost } from "../src/sim/index.ts";
import {
  decodePacket,
  decodeSync,
  type MembershipNews,
  type RecordCache,
  type RememberedMember,
  Swim,
  type SwimInput,
  type SwimOptions,
  type SwimOutput,
} from "../src/swim/index.ts";
import { decodeFrame, encodeFrame, frameType } from "../src/wire/index.ts";

export interface SwimHostSetup {
  /** Shared by all nodes of a simulation, so that thousands of tables of thousands of members share their records. */
  readonly records: RecordCache;
  readonly options?: SwimOptions;
  readonly remembered?: readonly RememberedMember[];
  /** Told of each change of the table. */
  readonly onNews?: (news: MembershipNews, host: SwimHost) => void;
}

/** A node of nothing but membership, as the composition of a real node would run it: payloads in frames. */
export class SwimHost implements SimulatedHost {
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

  describe(bytes: Uint8Array): string {
    const decoded = decodeFrame(bytes);
    if (decoded.result !== "frame") return decoded.result;
    const { type, payload } = decoded.frame;
    if (type === frameType.members) return `members ${decodeSync(payload, 1 << 20).kind}`;
    const { head, news } = decodePacket(payload);
    const count = (kind: string) => news.filter((item) => item.kind === kind).length;
    const number = head.kind === "gossip" ? "" : ` ${head.sequence}`;
    return `${head.kind}${number}, ${count("record")} records, ${count("accusation")} accusations`;
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
      default: {
        this.#setup.onNews?.(output, this);
        const { name, state, incarnation } = output.member;
        return {
          type: "news",
          text: `${output.type} ${name.split("@")[0]}: ${state}, incarnation ${incarnation}`,
        };
      }
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

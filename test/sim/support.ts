import type { HostContext, HostInput, HostOutput, SimulatedHost } from "../../src/sim/index.ts";
import { after, at, type Instant, type NodeId } from "../../src/sim/index.ts";

/** A host that notes what happens to it, says what it is told to say, and ticks every `everyMs`. */
export class NotingHost implements SimulatedHost {
  readonly context: HostContext;
  readonly seen: { readonly input: HostInput; readonly now: Instant }[] = [];
  readonly outputs: HostOutput[] = [];
  everyMs: number | undefined;
  #due: Instant | undefined;

  constructor(context: HostContext) {
    this.context = context;
  }

  handle(input: HostInput, now: Instant): void {
    this.seen.push({ input, now });
    if (input.type === "tick" && this.everyMs !== undefined) this.#due = after(now, this.everyMs);
  }

  poll(): HostOutput | undefined {
    return this.outputs.shift();
  }

  deadline(): Instant | undefined {
    return this.everyMs === undefined ? undefined : (this.#due ??= at(0));
  }

  say(output: HostOutput): void {
    this.outputs.push(output);
  }

  /** The texts that came as datagrams or messages. */
  heard(type: "datagram" | "message"): string[] {
    return this.seen.flatMap(({ input }) =>
      input.type === type ? [new TextDecoder().decode(input.bytes)] : [],
    );
  }

  types(): string[] {
    return this.seen.map(({ input }) => input.type);
  }
}

export function datagram(to: NodeId, text: string): HostOutput {
  return { type: "datagram", to, bytes: new TextEncoder().encode(text) };
}

export function message(to: NodeId, text: string): HostOutput {
  return { type: "message", to, bytes: new TextEncoder().encode(text) };
}

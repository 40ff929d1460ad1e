import { afterAll, afterEach, beforeAll } from "vitest";
import { MaculaNode, type MaculaNodeOptions } from "../../../src/node/macula-node.ts";
import { realm } from "../../node/support/nodes.ts";
import { Epmd, ErlangNode, type ErlangNodeOptions, erlangCookie } from "./erlang-node.ts";

let epmd: Epmd | undefined;
const nodes: MaculaNode[] = [];
const erlangs: ErlangNode[] = [];

/** For the tests of a file: an epmd of their own, and an end for all nodes that they start. */
export function useErlangWorld(): void {
  beforeAll(async () => {
    epmd = await Epmd.start();
  });
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.close()));
    await Promise.all(erlangs.splice(0).map((erlang) => erlang.close()));
  });
  afterAll(async () => {
    await epmd?.close();
  });
}

/** Has epmd forget everybody. */
export async function restartEpmd(): Promise<void> {
  await epmd?.restart();
}

/** A Macula node that stock nodes find, called `ts@localhost` by them. */
export async function startMacula(options: Partial<MaculaNodeOptions> = {}): Promise<MaculaNode> {
  const node = await MaculaNode.start({
    name: "ts@localhost:0",
    ...realm,
    stateDir: null,
    discovery: { mdns: false },
    host: "127.0.0.1",
    epmd: true,
    erlangCookie,
    ...options,
  });
  nodes.push(node);
  return node;
}

export async function startErlang(name = "erl@localhost", options?: ErlangNodeOptions): Promise<ErlangNode> {
  const erlang = await ErlangNode.start(name, options);
  erlangs.push(erlang);
  return erlang;
}

/** What `condition` gives once it gives something; looks again whenever the event loop comes round. */
export async function eventually<Value>(condition: () => Value | undefined): Promise<Value> {
  for (;;) {
    const value = condition();
    if (value !== undefined) return value;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

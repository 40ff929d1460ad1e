import { describe, expect, test } from "vitest";
import type { Pid, Tuple } from "../../src/etf/index.ts";
import { atom, ImproperList, type Term, tuple } from "../../src/etf/index.ts";
import {
  type From,
  GenServer,
  noReply,
  ProcessExit,
  type ProcessRuntime,
  type Reply,
} from "../../src/process/index.ts";
import type { Network } from "./support.ts";
import { nodeA, nodeB, Puppet, pairOfNodes } from "./support.ts";

const log: Term[] = [];

class Counter extends GenServer {
  #count = 0;
  #later: From | undefined;

  override init(start: number, trapExit = false): void {
    if (start < 0) throw new ProcessExit(atom("negative"));
    this.#count = start;
    this.self.trapExit = trapExit;
  }

  override async handleCall(request: Term, from: From): Promise<Reply> {
    switch (request) {
      case "next":
        return ++this.#count;
      case "later":
        this.#later = from;
        return noReply;
      case "stop":
        this.stop(atom("done"));
        return "bye";
      case "crash":
        throw new TypeError("crashed");
      default:
        return new Promise(() => undefined);
    }
  }

  override handleCast(request: Term): void {
    if (request === "answer" && this.#later !== undefined) this.reply(this.#later, "at last");
    else this.#count = request as number;
  }

  override handleInfo(message: Term): void {
    log.push(message);
  }

  override terminate(reason: Term): void {
    log.push(tuple("terminated", reason));
  }
}

/** How `promise` ended. */
async function outcome(network: Network, promise: Promise<unknown>, passMs = 0): Promise<unknown> {
  const settled = promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  await network.pass(passMs);
  return settled;
}

async function counter(
  args: [number, boolean?] = [0],
  on: "a" | "b" = "b",
): Promise<{ network: Network; a: ProcessRuntime; b: ProcessRuntime; to: { name: string; node: string } }> {
  log.length = 0;
  const { network, a, b } = pairOfNodes();
  const node = on === "a" ? a : b;
  await outcome(network, GenServer.start(node, Counter, args, { name: "counter" }));
  return { network, a, b, to: { name: "counter", node: node.node } };
}

describe.each(["a", "b"] as const)("gen_server on node %s, called from a", (on) => {
  test("call and cast, in order", async () => {
    const { network, a, to } = await counter([5], on);
    const first = GenServer.call(a, to, "next");
    GenServer.cast(a, to, 10);
    const second = GenServer.call(a, to, "next");
    expect([await outcome(network, first), await outcome(network, second)]).toEqual([6, 11]);
  });

  test("an answer that comes later", async () => {
    const { network, a, to } = await counter([0], on);
    const call = GenServer.call(a, to, "later");
    await network.settle();
    GenServer.cast(a, to, "answer");
    expect(await outcome(network, call)).toBe("at last");
  });

  test("no answer in time is TIMEOUT; the answer that comes too late is no message", async () => {
    const { network, a, to } = await counter([0], on);
    const one = await Puppet.on(network, a);
    expect(
      await outcome(network, GenServer.call(one.self, to, "later", { timeoutMs: 50 }), 60),
    ).toMatchObject({
      code: "TIMEOUT",
    });
    GenServer.cast(a, to, "answer");
    await network.settle();
    expect(one.inbox).toEqual([]);
  });

  test("a server that dies gives its reason at once", async () => {
    const { network, a, to } = await counter([0], on);
    const error = await outcome(network, GenServer.call(a, to, "crash"));
    expect(error).toMatchObject({ code: "NO_PROCESS", cause: expect.any(ProcessExit) as unknown });
    expect(((error as Error).cause as ProcessExit).message).toContain("TypeError: crashed");
    expect((log[0] as Tuple).elements[0]).toBe("terminated");
  });

  test("stop after the answer, with the reason", async () => {
    const { network, a, to } = await counter([0], on);
    const watcher = await Puppet.on(network, a);
    watcher.self.monitor(to);
    expect(await outcome(network, GenServer.call(a, to, "stop"))).toBe("bye");
    expect(log).toEqual([tuple("terminated", atom("done"))]);
    expect((watcher.inbox[0] as Tuple).elements[4]).toBe(atom("done"));
  });

  test("stop from outside waits for the end", async () => {
    const { network, a, to } = await counter([0], on);
    expect(await outcome(network, GenServer.stop(a, to))).toBeUndefined();
    expect(log).toEqual([tuple("terminated", atom("normal"))]);
    expect(network.nodes.get(to.node)?.whereis("counter")).toBeUndefined();
  });

  test("a server that is not there is NO_PROCESS", async () => {
    const { network, a, to } = await counter([0], on);
    const nobody = { name: "nobody", node: to.node };
    expect(await outcome(network, GenServer.call(a, nobody, 1))).toMatchObject({ code: "NO_PROCESS" });
    GenServer.cast(a, nobody, 1);
  });
});

describe("gen_server", () => {
  test("the loss of the node is PEER_UNREACHABLE", async () => {
    const { network, a, to } = await counter();
    const call = outcome(network, GenServer.call(a, to, "later"));
    network.disconnect(nodeA, nodeB);
    expect(await call).toMatchObject({ code: "PEER_UNREACHABLE" });
  });

  test("other messages go to handleInfo", async () => {
    const { network, a, to } = await counter();
    for (const message of ["hello", tuple(atom("$gen_call"), 1, 2), tuple(atom("$gen_cast"))])
      a.send(to, message);
    await network.settle();
    expect(log).toHaveLength(3);
  });

  test("an init that fails is told to who starts it, and does not end it", async () => {
    const { network, a } = pairOfNodes();
    const one = await Puppet.on(network, a);
    const error = await outcome(network, GenServer.start(one.self, Counter, [-1]));
    expect(error).toMatchObject({ reason: atom("negative") });
    expect(one.self.alive).toBe(true);
  });

  test("a name that is taken is LIMIT", async () => {
    const { network, a } = await counter([0], "a");
    const error = await outcome(network, GenServer.start(a, Counter, [0], { name: "counter" }));
    expect(error).toMatchObject({ code: "LIMIT" });
  });

  test.each([true, false])(
    "it ends with the process that started it; terminate runs if it traps: %s",
    async (traps) => {
      log.length = 0;
      const { network, a } = pairOfNodes();
      const one = await Puppet.on(network, a);
      const pid = (await outcome(network, GenServer.start(one.self, Counter, [0, traps]))) as Pid;
      a.exit(one.pid, atom("boom"));
      await network.settle();
      expect(a.processInfo(pid)).toBeUndefined();
      expect(log).toEqual(traps ? [tuple("terminated", atom("boom"))] : []);
    },
  );

  test("OTP's messages: {'$gen_call', {Pid, [alias | Ref]}, Request} is answered {[alias | Ref], Reply}", async () => {
    const { network, a, to } = await counter();
    const one = await Puppet.on(network, a);
    const tag = new ImproperList([atom("alias")], one.self.makeReference());
    one.self.send(to, tuple(atom("$gen_call"), tuple(one.pid, tag), "next"));
    await network.settle();
    expect(one.inbox).toEqual([tuple(tag, 1)]);
  });

  test("OTP's system messages are refused, but for terminate", async () => {
    const { network, a, to } = await counter();
    const one = await Puppet.on(network, a);
    one.self.send(to, tuple(atom("system"), tuple(one.pid, 1), atom("get_state")));
    await network.settle();
    const refusal = tuple(atom("error"), tuple(atom("unknown_system_msg"), atom("get_state")));
    expect(one.inbox).toEqual([tuple(1, refusal)]);
    one.self.send(to, tuple(atom("system"), tuple(one.pid, 2), tuple(atom("terminate"), atom("normal"))));
    await network.settle();
    expect(log.at(-1)).toEqual(tuple("terminated", atom("normal")));
    // `sys:terminate` waits for it.
    expect(one.inbox[1]).toEqual(tuple(2, atom("ok")));
  });

  test("stop says so when the server ends with another reason", async () => {
    class Stubborn extends GenServer {
      override terminate(): never {
        return this.self.exit(atom("no_way"));
      }
    }
    const { network, a } = pairOfNodes();
    const pid = (await outcome(network, GenServer.start(a, Stubborn, []))) as Pid;
    const stopped = await outcome(network, GenServer.stop(a, pid));
    expect(stopped).toMatchObject({ code: "NO_PROCESS" });
    expect(((stopped as Error).cause as ProcessExit).reason).toBe(atom("no_way"));
  });
});

import { describe, expect, test } from "vitest";
import { atom, type Pid, type Term, type Tuple, tuple } from "../../src/etf/index.ts";
import {
  type ChildSpec,
  GenServer,
  type ProcessRuntime,
  type Self,
  Supervisor,
  type SupervisorOptions,
} from "../../src/process/index.ts";
import { Network, nodeA, Puppet } from "./support.ts";

const boom = atom("boom");
const normal = atom("normal");
const shutdown = atom("shutdown");

/** A supervisor, what its children did in order, and who they are. */
class Stage {
  readonly network = new Network();
  readonly node: ProcessRuntime = this.network.add(nodeA);
  readonly events: string[] = [];
  readonly failing = new Set<string>();
  pid!: Pid;

  child(id: string, more: Partial<ChildSpec> = {}, body?: (self: Self) => Promise<unknown>): ChildSpec {
    const start = (self: Self): Pid => {
      if (this.failing.has(id)) throw new Error(`${id} fails`);
      this.events.push(`+${id}`);
      return self.spawnLink(
        body ??
          (async (child) => {
            child.onExit(() => this.events.push(`-${id}`));
            await child.receive();
          }),
      );
    };
    return { id, start, ...more };
  }

  async start(options: SupervisorOptions): Promise<unknown> {
    const result = await this.outcome(Supervisor.start(this.node, options, { link: false }));
    this.pid = result as Pid;
    return result;
  }

  async outcome<T>(promise: Promise<T>, passMs = 0): Promise<T | Error> {
    const settled = promise.catch((error: unknown) => error as Error);
    await this.network.pass(passMs);
    return settled;
  }

  async children(): Promise<Record<string, unknown>> {
    const children = (await this.outcome(Supervisor.whichChildren(this.node, this.pid))) as {
      id: string;
      pid: unknown;
    }[];
    return Object.fromEntries(children.map(({ id, pid }) => [id, pid]));
  }

  /** Ends a child by an exit signal, and lets the supervisor act. */
  async end(id: string, reason: Term = boom): Promise<void> {
    const pid = (await this.children())[id] as Pid;
    this.events.length = 0;
    if (reason === normal) this.node.send(pid, "go");
    else this.node.exit(pid, reason);
    await this.network.settle();
  }

  get alive(): boolean {
    return this.node.processInfo(this.pid) !== undefined;
  }
}

describe("strategy", () => {
  test.each([
    ["one_for_one", ["-b", "+b"]],
    ["one_for_all", ["-b", "-c", "-a", "+a", "+b", "+c"]],
    ["rest_for_one", ["-b", "-c", "+b", "+c"]],
  ] as const)("%s", async (strategy, expected) => {
    const stage = new Stage();
    await stage.start({ strategy, children: ["a", "b", "c"].map((id) => stage.child(id)) });
    expect(stage.events).toEqual(["+a", "+b", "+c"]);
    await stage.end("b");
    expect(stage.events).toEqual(expected);
  });
});

describe("restart", () => {
  test.each([
    ["permanent", boom, true, true],
    ["permanent", normal, true, true],
    ["permanent", shutdown, true, true],
    ["transient", boom, true, true],
    ["transient", normal, false, true],
    ["transient", shutdown, false, true],
    ["transient", tuple(shutdown, 1), false, true],
    ["temporary", boom, false, false],
    ["temporary", normal, false, false],
  ] as const)("%s after %s", async (restart, reason, restarted, kept) => {
    const stage = new Stage();
    await stage.start({ children: [stage.child("x", { restart })] });
    await stage.end("x", reason);
    expect(stage.events).toEqual(restarted ? ["-x", "+x"] : ["-x"]);
    expect("x" in (await stage.children())).toBe(kept);
  });
});

describe("intensity", () => {
  test("more restarts than intensity within the period: all ends with shutdown", async () => {
    const stage = new Stage();
    await stage.start({ intensity: 2, periodMs: 1_000, children: [stage.child("a"), stage.child("b")] });
    const watcher = await Puppet.on(stage.network, stage.node);
    watcher.self.monitor(stage.pid);
    await stage.end("a");
    await stage.end("a");
    expect(stage.alive).toBe(true);
    await stage.end("a");
    expect(stage.alive).toBe(false);
    expect((watcher.inbox[0] as Tuple).elements[4]).toBe(shutdown);
    expect(stage.events).toEqual(["-a", "-b"]);
  });

  test("restarts further apart do not add up", async () => {
    const stage = new Stage();
    await stage.start({ intensity: 1, periodMs: 1_000, children: [stage.child("a")] });
    for (let round = 0; round < 5; round++) {
      await stage.end("a");
      await stage.network.pass(1_001);
    }
    expect(stage.alive).toBe(true);
  });

  test("a restart that fails is tried again, and counts each time", async () => {
    const stage = new Stage();
    await stage.start({ intensity: 3, children: [stage.child("a")] });
    stage.failing.add("a");
    await stage.end("a");
    expect(stage.alive).toBe(false);
  });

  test.each(["one_for_all", "rest_for_one"] as const)(
    "%s goes on from a restart that failed once",
    async (strategy) => {
      const stage = new Stage();
      let failures = 1;
      const flaky: ChildSpec = {
        id: "b",
        start: (self) => {
          if (stage.events.length > 0 && !stage.events.includes("+b") && failures-- > 0)
            throw new Error("not yet");
          return stage.child("b").start(self);
        },
      };
      failures = 0;
      await stage.start({ strategy, intensity: 5, children: [stage.child("a"), flaky, stage.child("c")] });
      failures = 1;
      await stage.end("b");
      const children = await stage.children();
      expect(Object.values(children).every((pid) => typeof pid === "object")).toBe(true);
    },
  );
});

describe("start", () => {
  test("a child that cannot be started: those before it are ended, and the reason tells", async () => {
    const stage = new Stage();
    stage.failing.add("b");
    const error = await stage.start({ children: [stage.child("a"), stage.child("b"), stage.child("c")] });
    expect(stage.events).toEqual(["+a", "-a"]);
    expect(error).toMatchObject({
      reason: tuple(shutdown, tuple(atom("failed_to_start_child"), "b", expect.anything() as Term)),
    });
  });

  test("two children with one id are refused", async () => {
    const stage = new Stage();
    const error = (await stage.start({ children: [stage.child("a"), stage.child("a")] })) as Error;
    expect(error.message).toContain("different ids");
  });
});

describe("shutdown", () => {
  const stubborn = async (self: Self): Promise<never> => {
    self.trapExit = true;
    for (;;) await self.receive();
  };

  test("children end in reverse order; one that does not obey is killed when its time is over", async () => {
    const stage = new Stage();
    const slow = stage.child("slow", { shutdown: 200 }, stubborn);
    await stage.start({ children: [stage.child("a"), slow, stage.child("z")] });
    stage.events.length = 0;
    const puppet = await Puppet.on(stage.network, stage.node);
    puppet.self.monitor((await stage.children())["slow"] as Pid);
    void stage.outcome(GenServer.stop(stage.node, stage.pid, shutdown));
    await stage.network.pass(199);
    expect(stage.events).toEqual(["-z"]);
    await stage.network.pass(1);
    expect(stage.events).toEqual(["-z", "-a"]);
    expect((puppet.inbox[0] as Tuple).elements[4]).toBe(atom("killed"));
  });

  test("kill does not wait", async () => {
    const stage = new Stage();
    await stage.start({ children: [stage.child("slow", { shutdown: "kill" }, stubborn)] });
    const pid = (await stage.children())["slow"] as Pid;
    await stage.outcome(Supervisor.terminateChild(stage.node, stage.pid, "slow"));
    expect(stage.node.processInfo(pid)).toBeUndefined();
  });
});

describe("children at run time", () => {
  test("start, terminate, restart, delete", async () => {
    const stage = new Stage();
    await stage.start({ children: [stage.child("a")] });
    const { node, pid } = stage;
    await stage.outcome(Supervisor.startChild(node, pid, stage.child("b")));
    expect(Object.keys(await stage.children())).toEqual(["a", "b"]);
    expect(await stage.outcome(Supervisor.startChild(node, pid, stage.child("b")))).toMatchObject({
      code: "REMOTE",
    });
    expect(await stage.outcome(Supervisor.deleteChild(node, pid, "b"))).toMatchObject({ code: "REMOTE" });
    await stage.outcome(Supervisor.terminateChild(node, pid, "b"));
    expect((await stage.children())["b"]).toBeUndefined();
    await stage.outcome(Supervisor.restartChild(node, pid, "b"));
    expect((await stage.children())["b"]).toBeDefined();
    await stage.outcome(Supervisor.terminateChild(node, pid, "b"));
    await stage.outcome(Supervisor.deleteChild(node, pid, "b"));
    expect(Object.keys(await stage.children())).toEqual(["a"]);
    expect(await stage.outcome(Supervisor.deleteChild(node, pid, "b"))).toMatchObject({ code: "REMOTE" });
  });

  test("a child that was terminated is not restarted, and its end does not count", async () => {
    const stage = new Stage();
    await stage.start({ intensity: 0, children: [stage.child("a")] });
    await stage.outcome(Supervisor.terminateChild(stage.node, stage.pid, "a"));
    expect(stage.alive).toBe(true);
  });

  test("OTP's own requests are answered as OTP's supervisor does", async () => {
    const stage = new Stage();
    await stage.start({ children: [stage.child("a"), stage.child("b", { type: "supervisor" })] });
    const caller = await Puppet.on(stage.network, stage.node);
    const ask = async (request: Term): Promise<Term> => {
      caller.self.send(stage.pid, tuple(atom("$gen_call"), tuple(caller.pid, 1), request));
      await stage.network.settle();
      return (caller.inbox.pop() as Tuple).elements[1];
    };
    expect(await ask(atom("count_children"))).toEqual([
      tuple(atom("specs"), 2),
      tuple(atom("active"), 2),
      tuple(atom("supervisors"), 1),
      tuple(atom("workers"), 1),
    ]);
    expect(await ask(tuple(atom("terminate_child"), atom("a")))).toBe(atom("ok"));
    expect(await ask(tuple(atom("terminate_child"), atom("q")))).toEqual(
      tuple(atom("error"), atom("not_found")),
    );
    expect(await ask(tuple(atom("start_child"), tuple(1, 2)))).toEqual(
      tuple(atom("error"), atom("invalid_child_spec")),
    );
  });
});

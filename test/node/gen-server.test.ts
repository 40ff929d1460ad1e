import { expect, test } from "vitest";
import { atom, type Pid, type Term, tuple } from "../../src/etf/index.ts";
import { any, GenServer, type Reply, Supervisor } from "../../src/process/index.ts";
import { next, run, start } from "./support/nodes.ts";

/* GenServer and Supervisor, used from another node. */

class Counter extends GenServer {
  #count = 0;

  override init(first: number): void {
    this.#count = first;
  }

  override handleCall(request: Term): Reply {
    if (request === "next") return ++this.#count;
    throw new RangeError("only next");
  }

  override handleCast(request: Term): void {
    this.#count = Number(request);
  }
}

test("a server of another node is called, told and stopped", async () => {
  const one = await start({ name: "one@localhost:0" });
  const two = await start({ name: "two@localhost:0" });
  await GenServer.start(one, Counter, [10], { name: "counter" });
  const counter = { name: "counter", node: one.name };
  expect(await GenServer.call(two, counter, "next")).toBe(11);
  GenServer.cast(two, counter, 41);
  expect(await GenServer.call(two, counter, "next")).toBe(42);
  await GenServer.stop(two, counter, atom("shutdown"));
  expect(one.self.whereis("counter")).toBeUndefined();
  await expect(GenServer.call(two, counter, "next")).rejects.toMatchObject({ code: "NO_PROCESS" });
});

test("a call of a server whose node goes away is PEER_UNREACHABLE", async () => {
  class Silent extends GenServer {
    override handleCall(): Promise<Reply> {
      return new Promise(() => undefined);
    }
  }
  const one = await start({ name: "one@localhost:0" });
  const two = await start({ name: "two@localhost:0" });
  await GenServer.start(one, Silent, [], { name: "silent" });
  // The dialler is the first to know of the link.
  await Promise.all([next(one, "nodeUp"), two.connect(one.name)]);
  const down = next(two, "nodeDown");
  const call = expect(GenServer.call(two, { name: "silent", node: one.name }, 1)).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
  });
  expect(one.disconnect(two.name)).toBe(true);
  await Promise.all([call, down]);
});

test("a supervisor answers from afar, and restarts a child that the other node saw crash", async () => {
  const one = await start({ name: "one@localhost:0" });
  const two = await start({ name: "two@localhost:0" });
  const supervisor = await Supervisor.start(one, {
    children: [{ id: "counter", start: (self) => GenServer.start(self, Counter, [0], { name: "counter" }) }],
  });
  await run(two, async (self) => {
    const [child] = await Supervisor.whichChildren(self, supervisor);
    expect(child).toMatchObject({ id: "counter", type: "worker" });
    const ref = self.monitor(child?.pid as Pid);
    const crash = GenServer.call(self, child?.pid as Pid, "crash");
    await expect(crash).rejects.toThrow("RangeError: only next");
    await self.receive(tuple(atom("DOWN"), ref, any, any, any));
    // A call behind the crash: the supervisor has dealt with the exit when it answers.
    const [restarted] = await Supervisor.whichChildren(self, supervisor);
    expect(restarted?.pid).not.toEqual(child?.pid);
    expect(await GenServer.call(self, restarted?.pid as Pid, "next")).toBe(1);
    await Supervisor.terminateChild(self, supervisor, "counter");
    expect((await Supervisor.whichChildren(self, supervisor))[0]?.pid).toBeUndefined();
  });
});

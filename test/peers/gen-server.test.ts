import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { utf8 } from "../../src/base/text.ts";
import { at } from "../../src/base/time.ts";
import {
  type Atom,
  atom,
  decode,
  encode,
  ImproperList,
  Pid,
  Reference,
  type Term,
  type Tuple,
  tuple,
} from "../../src/etf/index.ts";
import {
  GenServer,
  noReply,
  ProcessRuntime,
  type Reply,
  type Signal,
  Supervisor,
} from "../../src/process/index.ts";
import type { SendSignal } from "../../src/process/signals.ts";
import { describeWithErlang, ErlangPeer } from "./support/erlang.ts";

/* What OTP's gen_server, sys and supervisor send is what ours understands, and the other way round. */

const here = "here@localhost:1";
const there = "nonode@nohost";

class Server extends GenServer {
  casts: Term[] = [];

  override handleCall(request: Term): Reply {
    if (request === atom("casts")) return this.casts;
    return request === atom("silent") ? noReply : tuple(atom("answered"), request);
  }

  override handleCast(request: Term): void {
    this.casts.push(request);
  }
}

describeWithErlang("GenServer, against OTP's", () => {
  let erlang: ErlangPeer;
  let runtime: ProcessRuntime;
  let sent: Signal[];

  beforeAll(() => {
    erlang = ErlangPeer.start("gen_server_peer");
  });
  afterAll(() => erlang.close());

  beforeEach(() => {
    sent = [];
    runtime = new ProcessRuntime({
      node: here,
      creation: 1,
      sink: {
        send: (_node, _lane, _key, signal) => {
          sent.push(signal);
          return true;
        },
      },
      clock: () => at(0),
      wake: () => undefined,
    });
  });

  /** Asks the Erlang peer; terms travel as they do in signals. */
  async function ask(letter: string, term: Term): Promise<Term> {
    const packet = Buffer.concat([Buffer.from(letter), encode(term, { text: "marked" })]);
    return decode(await erlang.request(packet), { binaries: "bytes" });
  }

  /** The message that a call of OTP sends to its server. */
  function messageOf(module: string, name: string, ...args: Term[]): Promise<Term> {
    return ask("s", tuple(atom(module), atom(name), args));
  }

  /** Gives `message` to our server; its answer when there is one. */
  async function deliver(to: Pid, message: Term): Promise<Term> {
    const from = new Pid(there, 1, 0, 0);
    runtime.handle(
      { type: "signal", node: there, stream: 1, bytes: 100, signal: { type: "send", from, to, message } },
      at(0),
    );
    await jobs();
    return sent.filter((signal): signal is SendSignal => signal.type === "send").at(-1)?.message;
  }

  /** What the waiting call in Erlang makes of `answer`. */
  async function resultOf(answer: Term, end: Term = atom("goes_on")): Promise<Term> {
    const [result, unwanted] = ((await ask("a", tuple(answer, end))) as Tuple).elements;
    expect(unwanted).toEqual([]);
    return result;
  }

  test("gen_server:call/2: {'$gen_call', {Pid, [alias | Ref]}, Request}, answered with {[alias | Ref], Reply}", async () => {
    const server = await GenServer.start(runtime, Server, []);
    const request = { number: 42, list: [atom("a"), 1.5] };
    const message = (await messageOf("gen_server", "call", request)) as Tuple;
    const [tag, from] = message.elements;
    expect(tag).toBe(atom("$gen_call"));
    expect((from as Tuple).elements[1]).toBeInstanceOf(ImproperList);
    const answer = (await deliver(server, message)) as Tuple;
    expect(answer.elements[0]).toEqual((from as Tuple).elements[1]);
    const [kind, reply] = ((await resultOf(answer)) as Tuple).elements;
    expect(kind).toBe(atom("returned"));
    expect(reply).toEqual(tuple(atom("answered"), message.elements[2]));
  });

  test("gen_server:cast/2: {'$gen_cast', Request}", async () => {
    const server = await GenServer.start(runtime, Server, []);
    await deliver(server, await messageOf("gen_server", "cast", atom("first")));
    await deliver(server, await messageOf("gen_server", "cast", tuple(2)));
    expect(await GenServer.call(runtime, server, atom("casts"))).toEqual([atom("first"), tuple(2)]);
  });

  test("gen_server:stop/3 ends our server with its reason, and returns", async () => {
    const server = await GenServer.start(runtime, Server, []);
    const message = await messageOf("gen_server", "stop", atom("shutdown"), 5_000);
    const answer = await deliver(server, message);
    expect((answer as Tuple).elements[1]).toBe(atom("ok"));
    expect(runtime.processInfo(server)).toBeUndefined();
    expect(await ask("a", tuple(answer, tuple(atom("ends"), atom("shutdown"))))).toMatchObject({
      elements: [tuple(atom("returned"), atom("ok")), expect.anything() as unknown],
    });
  });

  test("sys:get_state/1 is refused in the way of OTP, and does not hang", async () => {
    const server = await GenServer.start(runtime, Server, []);
    const answer = await deliver(server, await messageOf("sys", "get_state"));
    const [kind] = ((await resultOf(answer)) as Tuple).elements;
    expect((kind as Atom).name).toMatch(/^(error|exit|returned)$/);
  });

  test("supervisor:which_children/1, count_children/1, terminate_child/2 work on our supervisor", async () => {
    const children = [
      {
        id: "one",
        start: (self: Parameters<typeof GenServer.start>[0]) => GenServer.start(self, Server, []),
      },
    ];
    const supervisor = await Supervisor.start(runtime, { children });
    const listed = await resultOf(await deliver(supervisor, await messageOf("supervisor", "which_children")));
    expect(listed).toMatchObject({
      elements: [
        atom("returned"),
        [{ elements: [utf8("one"), expect.any(Pid) as unknown, atom("worker"), atom("dynamic")] }],
      ],
    });
    const counted = await resultOf(
      await deliver(supervisor, await messageOf("supervisor", "count_children")),
    );
    const counts = ["specs", "active", "supervisors", "workers"].map((name) => atom(name));
    expect(((counted as Tuple).elements[1] as Tuple[]).map(({ elements }) => elements)).toEqual([
      [counts[0], 1],
      [counts[1], 1],
      [counts[2], 0],
      [counts[3], 1],
    ]);
    const request = await messageOf("supervisor", "terminate_child", "one");
    expect(await resultOf(await deliver(supervisor, request))).toEqual(tuple(atom("returned"), atom("ok")));
  });

  /** The last message that our side sent, as Erlang gets it. */
  function lastSent(): Tuple {
    const signal = sent.findLast(({ type }) => type === "send" || type === "regSend");
    return (signal as SendSignal).message as Tuple;
  }

  /** Gives our side what the server over there answered. */
  async function answered(reply: Term, to: Term): Promise<void> {
    await deliver(to as Pid, reply);
  }

  const server = { name: "server", node: there };

  test("our call is answered by a gen_server, and its answer is accepted", async () => {
    const call = GenServer.call(runtime, server, { any: [1n, "term"] });
    const message = lastSent();
    expect(message.elements[0]).toBe(atom("$gen_call"));
    const [pid, ref] = (message.elements[1] as Tuple).elements;
    expect(ref).toBeInstanceOf(Reference);
    const [reply, end] = ((await ask("c", message)) as Tuple).elements;
    expect(end).toBe(atom("goes_on"));
    await answered(reply, pid);
    expect(await call).toMatchObject({ elements: [atom("answered"), { any: [1, utf8("term")] }] });
  });

  test("our cast is taken by a gen_server", async () => {
    GenServer.cast(runtime, server, tuple(atom("note"), 7));
    expect(await ask("n", lastSent())).toEqual(tuple(atom("got"), tuple(atom("note"), 7)));
  });

  test("our stop ends a gen_server, and waits for the end behind its answer", async () => {
    let stopped = false;
    const stopping = async (): Promise<void> => {
      await GenServer.stop(runtime, server, atom("shutdown"));
      stopped = true;
    };
    const stop = stopping();
    await jobs();
    const message = lastSent();
    const [reply, end] = ((await ask("c", message)) as Tuple).elements;
    expect(end).toEqual(tuple(atom("ends"), atom("shutdown")));
    const [pid] = (message.elements[1] as Tuple).elements;
    await answered(reply, pid);
    expect(stopped).toBe(false);
    const monitor = sent.find((signal) => signal.type === "monitor");
    if (monitor?.type !== "monitor") throw new Error("it does not monitor the server");
    const { ref, from: to } = monitor;
    const down = { type: "down", from: "server", to, ref, reason: atom("shutdown") } as const;
    runtime.handle({ type: "signal", node: there, stream: 1, bytes: 100, signal: down }, at(0));
    await stop;
    expect(stopped).toBe(true);
  });
});

/** Lets all promise jobs run. */
function jobs(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

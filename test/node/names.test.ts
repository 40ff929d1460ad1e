import { expect, test } from "vitest";
import type { MeshError } from "../../src/base/errors.ts";
import { type NodeId, nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { atom, encode, type Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import { coreCrypto, identityCrypto } from "../../src/io/crypto.ts";
import {
  encodeClaim,
  type NameRecord,
  Names,
  type NamesInput,
  nameKey,
  resolveNamesOptions,
} from "../../src/names/index.ts";
import { GlobalNames } from "../../src/node/names.ts";
import type { ProcessRuntime } from "../../src/process/index.ts";
import { Network, Puppet } from "../process/support.ts";

const crypto = coreCrypto(identityCrypto.generateKeyPair().privateKey);

/** A directory that is one map for all nodes, and answers when the test lets it. */
class Directory {
  readonly records = new Map<string, NameRecord>();
  isSilent = false;
  readonly #answers: (() => void)[] = [];

  later(answer: () => void): void {
    this.#answers.push(answer);
  }

  /** Answers each question asked so far. */
  step(): void {
    const due = this.#answers.splice(0);
    if (!this.isSilent) for (const answer of due) answer();
  }
}

/** Processes, the machine of names and what joins them, as in a node. */
class Node {
  readonly id: NodeId;
  readonly runtime: ProcessRuntime;
  readonly names: GlobalNames;
  readonly machine: Names;
  /** Messages to the node that were not about names. */
  readonly messages: Term[] = [];
  now = 0;
  readonly #directory: Directory;
  #read = 0;

  constructor(
    byte: number,
    network: Network,
    directory: Directory,
    nodeOf: (id: NodeId) => string | undefined,
  ) {
    this.id = nodeIdFromBytes(new Uint8Array(32).fill(byte));
    this.runtime = network.add(`n${byte}@host:${byte}`);
    this.#directory = directory;
    this.machine = new Names(
      {
        self: this.id,
        life: 1,
        crypto,
        random: seededRandom(byte),
        wallClock: (now) => 1_700_000_000_000 + now,
        lifeOf: (id) => (nodeOf(id) === undefined ? undefined : 1),
      },
      resolveNamesOptions(),
    );
    this.names = new GlobalNames({
      runtime: this.runtime,
      request: (request) => this.tell(request),
      nodeOf,
    });
  }

  /** Lets the machine's timers run for so long, and what the node was told arrive. */
  pass(ms: number, told: readonly Term[]): void {
    const end = this.now + ms;
    for (let due = this.machine.deadline(); due !== undefined && due <= end; due = this.machine.deadline()) {
      this.now = Math.max(this.now, due);
      this.tell({ type: "tick" });
    }
    this.now = end;
    for (const message of told.slice(this.#read)) {
      if (!this.names.onMessage(message)) this.messages.push(message);
    }
    this.#read = told.length;
  }

  tell(input: NamesInput): void {
    this.machine.handle(input, at(this.now));
    for (let output = this.machine.poll(); output !== undefined; output = this.machine.poll()) {
      const { records } = this.#directory;
      const step = output;
      if (step.type === "get") {
        this.#directory.later(() => {
          const found = [...records]
            .filter(([name]) => name.startsWith(step.key))
            .map(([, record]) => record);
          this.tell({ type: "found", token: step.token, records: found });
        });
      } else if (step.type === "publish") {
        records.set(`${step.key} ${this.id}`, { kind: step.kind, owner: this.id, value: step.value });
        this.#directory.later(() => this.tell({ type: "published", kind: step.kind, key: step.key }));
      } else if (step.type === "withdraw") {
        records.delete(`${step.key} ${this.id}`);
      } else {
        this.names.onNews(step);
      }
    }
  }
}

/** Two nodes with a link and a directory. */
class World {
  readonly directory = new Directory();
  readonly network = new Network();
  readonly nodes = new Map<NodeId, string>();
  readonly a = this.#add(1);
  readonly b = this.#add(2);

  constructor() {
    this.network.connect(this.a.runtime.node, this.b.runtime.node);
  }

  #add(byte: number): Node {
    const node = new Node(byte, this.network, this.directory, (id) => this.nodes.get(id));
    this.nodes.set(node.id, node.runtime.node);
    return node;
  }

  /** Some seconds, in which the directory answers, processes run and hear of each other's end. */
  async settle(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      this.directory.step();
      for (const node of [this.a, this.b]) {
        await this.network.settle();
        const outputs = this.network.outputsOf(node.runtime.node, "message");
        node.pass(
          250,
          outputs.map((output) => (output as { message: Term }).message),
        );
      }
    }
  }

  /** What becomes of it: its value, or the code of its error. */
  async outcome<Value>(promise: Promise<Value>): Promise<Value | string> {
    const caught = promise.catch((error: unknown) => (error as MeshError).code);
    await this.settle();
    return await caught;
  }
}

test("a process registered at one node is found from another, and gets what is sent there", async () => {
  const world = new World();
  const { a, b, network } = world;
  const puppet = await Puppet.on(network, a.runtime);
  expect(await world.outcome(a.names.register("printer", puppet.pid))).toBeUndefined();
  const found = await world.outcome(b.names.whereis("printer"));
  expect(found).toEqual(puppet.pid);
  expect(await world.outcome(a.names.whereis("printer"))).toEqual(puppet.pid);
  b.runtime.send(found as Pid, "hello");
  await world.settle();
  expect(puppet.inbox).toEqual(["hello"]);
  a.names.unregister("printer");
  expect(await world.outcome(a.names.whereis("printer"))).toBeUndefined();
  expect(() => a.names.unregister("printer")).toThrow(/no process of this node is globally registered/);
});

test("a name that is taken, here or at another node, is refused", async () => {
  const world = new World();
  const { a, b, network } = world;
  const [first, second] = [await Puppet.on(network, a.runtime), await Puppet.on(network, b.runtime)];
  await world.outcome(a.names.register("printer", first.pid));
  expect(await world.outcome(a.names.register("printer", first.pid))).toBe("NAME_TAKEN");
  const refused = b.names.register("printer", second.pid);
  const expected = expect(refused).rejects.toThrow(/taken by a process of n1@host:1/);
  await world.settle();
  await expected;
  // Nothing is left of the attempt.
  a.names.unregister("printer");
  expect(await world.outcome(b.names.register("printer", second.pid))).toBeUndefined();
});

test("the end of a process frees its names, also of one that is being registered", async () => {
  const world = new World();
  const { a, b, network } = world;
  const [first, second] = [await Puppet.on(network, a.runtime), await Puppet.on(network, a.runtime)];
  for (const name of ["one", "two"]) await world.outcome(a.names.register(name, first.pid));
  a.runtime.exit(first.pid, atom("kill"));
  await world.settle();
  expect(world.directory.records.size).toBe(0);
  expect(await world.outcome(b.names.whereis("one"))).toBeUndefined();
  expect(await world.outcome(a.names.register("one", first.pid))).toBe("NO_PROCESS");
  const dying = a.names.register("one", second.pid);
  a.runtime.exit(second.pid, atom("kill"));
  expect(await world.outcome(dying)).toBe("NO_PROCESS");
  expect(world.directory.records.size).toBe(0);
  expect(a.messages).toEqual([]);
});

test("a process of another node is refused", async () => {
  const world = new World();
  const puppet = await Puppet.on(world.network, world.a.runtime);
  expect(await world.outcome(world.b.names.register("printer", puppet.pid))).toBe("NO_PROCESS");
});

test("a message that looks like the end of a registered process is not believed, others are passed on", async () => {
  const world = new World();
  const { a, network } = world;
  const [puppet, other] = [await Puppet.on(network, a.runtime), await Puppet.on(network, a.runtime)];
  await world.outcome(a.names.register("printer", puppet.pid));
  const real = a.runtime.monitor(other.pid);
  // References count up: that of the registered process came right before.
  const guessed = new Reference(real.node, real.creation, [
    (real.ids[0] as number) - 1,
    ...real.ids.slice(1),
  ]);
  const forged = tuple(atom("DOWN"), guessed, atom("process"), puppet.pid, atom("killed"));
  expect(a.names.onMessage(forged)).toBe(true);
  expect(await world.outcome(a.names.whereis("printer"))).toEqual(puppet.pid);
  a.runtime.exit(other.pid, atom("kill"));
  await world.settle();
  expect(a.messages).toEqual([tuple(atom("DOWN"), real, atom("process"), other.pid, atom("killed"))]);
});

test("a process whose name is lost to an older claim is told", async () => {
  const world = new World();
  const { a, b, network, directory } = world;
  const puppet = await Puppet.on(network, a.runtime);
  await world.outcome(a.names.register("printer", puppet.pid));
  const key = nameKey("printer", crypto);
  const older = await Puppet.on(network, b.runtime);
  const value = encodeClaim({ life: 1, registeredMs: 1, value: encode(older.pid) });
  directory.records.set(`${key} ${b.id}`, { kind: 1, owner: b.id, value });
  // As after a partition: names are checked when members come.
  a.tell({ type: "memberUp", id: b.id });
  for (let count = 0; count < 3; count++) await world.settle();
  expect(puppet.inbox).toEqual([tuple(atom("global_name_conflict"), "printer")]);
  expect(await world.outcome(a.names.whereis("printer"))).toEqual(older.pid);
  expect(() => a.names.unregister("printer")).toThrow(/no process/);
});

test.each<[string, (world: World) => Uint8Array]>([
  ["is no term", () => Uint8Array.of(1, 2, 3)],
  ["is no pid", () => encode(tuple(atom("a"), "b"))],
  ["is compressed beyond what a pid needs", () => encode("x".repeat(100_000), { compressed: 9 })],
  ["is the pid of another node", ({ a }) => encode(a.runtime.self.pid)],
])("a name that stands for what %s is nobody's", async (_, valueOf) => {
  const world = new World();
  const { a, b, directory } = world;
  const value = encodeClaim({ life: 1, registeredMs: 1, value: valueOf(world) });
  directory.records.set(`${nameKey("printer", crypto)} ${b.id}`, { kind: 1, owner: b.id, value });
  expect(await world.outcome(a.names.whereis("printer"))).toBeUndefined();
});

test("names that cannot be are refused, and a directory that does not answer", async () => {
  const world = new World();
  const { a, network, directory } = world;
  const puppet = await Puppet.on(network, a.runtime);
  expect(await world.outcome(a.names.register("", puppet.pid))).toBe("LIMIT");
  expect(await world.outcome(a.names.whereis("x".repeat(256)))).toBe("LIMIT");
  directory.isSilent = true;
  const both: Promise<unknown>[] = [a.names.register("printer", puppet.pid), a.names.whereis("scanner")];
  const outcomes = both.map(async (each) => await world.outcome(each));
  for (let count = 0; count < 2; count++) await world.settle();
  expect(await Promise.all(outcomes)).toEqual(["TIMEOUT", "TIMEOUT"]);
});

test("close rejects what waits and may be called twice", async () => {
  const world = new World();
  const { a, network } = world;
  const puppet = await Puppet.on(network, a.runtime);
  const waiting = [a.names.register("printer", puppet.pid), a.names.whereis("scanner")];
  const codes = Promise.all(waiting.map((each) => each.catch((error: unknown) => (error as MeshError).code)));
  a.names.close();
  a.names.close();
  expect(await codes).toEqual(["CLOSED", "CLOSED"]);
  expect(() => a.names.unregister("printer")).toThrow(/closed/);
  expect(await world.outcome(a.names.whereis("printer"))).toBe("CLOSED");
});

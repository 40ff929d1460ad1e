// Processes of one node: messages, patterns, links, a server and its supervisor.
import { atom, GenServer, is, MaculaNode, type Reply, Supervisor, type Term, tuple } from "macula";

class Counter extends GenServer {
  #count = 0;

  override handleCall(request: Term): Reply {
    if (request === "next") return ++this.#count;
    throw new RangeError("only next");
  }
}

await using node = await MaculaNode.start({
  name: "examples@localhost:4435",
  realm: "demo",
  cookie: "examples",
  print: (text) => process.stdout.write(text),
});

// A process waits for messages of one shape, and answers each.
const doubler = node.spawn(async (self) => {
  for (;;) {
    const [, from, number] = (await self.receive(tuple(atom("double"), is.pid, is.number))).elements;
    self.send(from, Number(number) * 2);
  }
});

node.spawn(async (self) => {
  self.send(doubler, tuple(atom("double"), self.pid, 21));
  await self.print(`21 doubled is ${await self.receive(is.number, { timeoutMs: 1_000 })}\n`);
});

// A supervisor restarts the server when it crashes.
await Supervisor.start(node, {
  children: [{ id: "counter", start: (self) => GenServer.start(self, Counter, [], { name: "counter" }) }],
});
console.log(await GenServer.call(node, "counter", "next"), await GenServer.call(node, "counter", "next"));
await GenServer.call(node, "counter", "crash").catch((error: unknown) => console.log(String(error)));

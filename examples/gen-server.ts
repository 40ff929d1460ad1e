// A server with state, and a supervisor that starts it again when it crashes.
// Run: npm run build && npx tsx examples/gen-server.ts
import { GenServer, MaculaNode, type Reply, Supervisor, type Term } from "macula";

class Counter extends GenServer {
  #count = 0;

  override handleCall(request: Term): Reply {
    if (request === "next") return ++this.#count;
    throw new RangeError("only next");
  }
}

await using node = await MaculaNode.start({ name: "examples@localhost:0", stateDir: null });
await Supervisor.start(node, {
  children: [{ id: "counter", start: (self) => GenServer.start(self, Counter, [], { name: "counter" }) }],
});

console.log(await GenServer.call(node, "counter", "next"), await GenServer.call(node, "counter", "next"));

// A crash ends the server; who was waiting for its answer is told why. The supervisor starts it again.
const crashed = node.self.whereis("counter");
await GenServer.call(node, "counter", "crash").catch((error: unknown) => console.log(String(error)));
while (node.self.whereis("counter") === undefined || node.self.whereis("counter") === crashed)
  await node.self.sleep(1);
console.log("after the restart:", await GenServer.call(node, "counter", "next"));

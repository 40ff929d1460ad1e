// Two nodes that talk and are closed: the program must end by itself, and nothing of them be left in the event loop.
// With the argument `worker` all of it happens in a worker thread.
import { isMainThread, Worker } from "node:worker_threads";
import { MaculaNode, withSelf } from "macula";

async function talk() {
  const options = {
    realm: "test",
    cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu",
    stateDir: null,
    discovery: { mdns: false },
    host: "127.0.0.1",
  };
  const one = await MaculaNode.start({ name: "one@localhost:0", ...options });
  const two = await MaculaNode.start({ name: "two@localhost:0", ...options });
  two.exportModule("worker", {
    wait: withSelf((self) => self.receive({ timeoutMs: 60_000 })),
    add: (a, b) => a + b,
  });
  await one.spawnOn(two.name, "worker", "wait", [], { link: true, monitor: true });
  one.spawn((self) => self.sleep(60_000));
  console.log("sum", await one.rpc(two.name, "worker", "add", [1, 2]));
  await one.close();
  await two.close();
}

if (isMainThread && process.argv[2] === "worker") {
  const worker = new Worker(new URL(import.meta.url));
  worker.on("exit", (code) => console.log("worker ended with", code));
} else {
  await talk();
  // Standard output aside, nothing keeps this program alive.
  const left = process.getActiveResourcesInfo().filter((name) => !/^(Pipe|TTY|MessagePort|FSReq)/.test(name));
  console.log("left", JSON.stringify(left));
}

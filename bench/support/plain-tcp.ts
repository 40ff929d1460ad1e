import { once } from "node:events";
import { connect, createServer } from "node:net";
import { median } from "./numbers.ts";

// Plain TCP on the loopback interface: what round trips are compared with.

/** Echoes what comes. Returns its port. */
export async function serveTcp(): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as { port: number }).port;
}

/** Median round trip of 100 bytes, milliseconds. */
export async function tcpRoundTrip(port: number, rounds: number): Promise<number> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  const message = new Uint8Array(100);
  const times: number[] = [];
  await new Promise<void>((resolve) => {
    let got = 0;
    let started = performance.now();
    socket.on("data", (bytes) => {
      got += bytes.length;
      if (got < message.length) return;
      got = 0;
      times.push(performance.now() - started);
      if (times.length === rounds) {
        resolve();
        return;
      }
      started = performance.now();
      socket.write(message);
    });
    socket.write(message);
  });
  socket.destroy();
  return median(times);
}

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below what systems give out by themselves (from 32,768 or 49,152 on): or whoever asks for any port might get ours. */
const [first, last] = [20_000, 32_000];
const given = new Set<number>();

/** A port that nobody uses, in UDP and TCP, and that nobody gets who asks for any. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const udp = createSocket("udp6");
  const tcp = createServer();
  try {
    udp.bind(port);
    await once(udp, "listening");
    tcp.listen(port);
    await once(tcp, "listening");
    return true;
  } catch {
    return false;
  } finally {
    udp.close();
    tcp.close();
    await Promise.all([once(udp, "close"), tcp.listening ? once(tcp, "close") : undefined]);
  }
}

import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/**
 * A connected socket. `signal` ends the attempt, not the connection.
 * @throws Error why there is none.
 */
export async function connectTcp(host: string, port: number, signal?: AbortSignal): Promise<Socket> {
  signal?.throwIfAborted();
  const socket = connect({ host, port, noDelay: true });
  const onAbort = (): void => void socket.destroy(signal?.reason as Error);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await once(socket, "connect");
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * The loopback address by which other programs of this machine find `host`: what it stands for if that is one (Debian has
 * 127.0.1.1 for the machine's own name), else 127.0.0.1.
 */
export async function loopbackOf(host: string): Promise<string> {
  try {
    const { address } = await lookup(host, { family: 4 });
    if (address.startsWith("127.")) return address;
  } catch {
    // Nobody finds it by this name, then.
  }
  return "127.0.0.1";
}

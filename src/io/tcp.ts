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

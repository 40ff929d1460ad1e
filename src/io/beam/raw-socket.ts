import { Socket } from "node:net";

/** Reads into `buffer`, which belongs to `onBytes` until that returns; `false` stops reading until `resume()`. */
export interface RawReading {
  readonly buffer: Uint8Array;
  readonly onBytes: (bytes: Uint8Array) => boolean;
}

/** The inside of a `Socket`: `_handle` is not documented, `useUserBuffer` is what the option `onread` needs of it. */
interface Inside {
  _handle: { readonly useUserBuffer?: unknown } | null | undefined;
}

/**
 * The connection of `socket`, paused and with nothing unread in it, as a socket that reads into one buffer again and again. `socket`
 * is not to be used any more.
 *
 * Node.js allocates 64 KiB for each read, and the collection of that garbage led the profile. Its remedy
 * is the option `onread`, which a server cannot give to the sockets it accepts; so the handle moves to a socket that can. `_handle`
 * and the option `handle` are not documented (tested on Node 20, 22 and 24): where something of it is missing, bytes are read in
 * the ordinary way.
 */
export function rawSocket(socket: Socket, { buffer, onBytes }: RawReading): Socket {
  const owner = socket as unknown as Inside;
  const handle = owner._handle;
  if (typeof handle?.useUserBuffer !== "function" || socket.destroyed || socket.readableLength > 0) {
    return ordinarySocket(socket, onBytes);
  }
  const onread = {
    buffer,
    callback: (length: number) => onBytes(length === buffer.length ? buffer : buffer.subarray(0, length)),
  };
  const options: object = { handle, allowHalfOpen: true, onread };
  const raw = new Socket(options);
  if ((raw as unknown as Inside)._handle !== handle) return ordinarySocket(socket, onBytes);
  owner._handle = null;
  socket.destroy();
  // With `onread` there are no events "data"; if it were not understood, there would be.
  return ordinarySocket(raw, onBytes);
}

function ordinarySocket(socket: Socket, onBytes: (bytes: Uint8Array) => boolean): Socket {
  socket.on("data", (bytes: Uint8Array) => {
    if (!onBytes(bytes)) socket.pause();
  });
  return socket;
}

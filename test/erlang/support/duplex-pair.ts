import { Duplex } from "node:stream";

/** Two ends of a byte stream in memory: what is written to one is read from the other, with back-pressure. */
export function duplexPair(): [Duplex, Duplex] {
  let other: Duplex;
  const make = (peer: () => Duplex): Duplex => {
    let onRead: (() => void) | undefined;
    const end = new Duplex({
      allowHalfOpen: false,
      read() {
        const resume = onRead;
        onRead = undefined;
        resume?.();
      },
      write(chunk: Buffer, _encoding, done) {
        const to = peer();
        if (to.destroyed || to.push(chunk)) done();
        else (to as Duplex & { waiting?: (resume: () => void) => void }).waiting?.(done);
      },
      final(done) {
        if (!peer().destroyed) peer().push(null);
        done();
      },
      destroy(error, done) {
        if (!peer().destroyed && !peer().readableEnded) peer().push(null);
        done(error);
      },
    });
    Object.assign(end, {
      waiting: (resume: () => void) => {
        onRead = resume;
      },
    });
    return end;
  };
  const one: Duplex = make(() => other);
  other = make(() => one);
  return [one, other];
}

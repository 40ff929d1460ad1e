import { randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { networkInterfaces } from "node:os";
import { afterEach } from "vitest";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { monotonicNow } from "../../src/io/clock.ts";
import type { FoundInstance } from "../../src/io/mdns/instances.ts";
import type { Interfaces } from "../../src/io/mdns/links.ts";
import { Mdns, type MdnsOptions } from "../../src/io/mdns/mdns.ts";
import type { ServiceOptions } from "../../src/io/mdns/service.ts";
import { systemRandom } from "../../src/io/random.ts";

/** A node to be made known. */
export function service(name: string, options: Partial<ServiceOptions> = {}): ServiceOptions {
  const nodeId = nodeIdFromBytes(randomFillSync(new Uint8Array(32)));
  return { name: `${name}@localhost:4433`, nodeId, realm: "test", port: 4433, ...options };
}

/** The loopback interface alone: nothing leaves the machine. */
export function loopback(): Interfaces {
  return Object.fromEntries(
    Object.entries(networkInterfaces()).filter(([, infos = []]) => infos.every(({ internal }) => internal)),
  );
}

/** A port that is nobody's, so that tests hear nobody but each other. */
export async function freeMdnsPort(): Promise<number> {
  const socket = createSocket("udp4").bind(0, "0.0.0.0");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}

const open: Mdns[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((mdns) => mdns.close()));
});

/** A responder and browser on the loopback interface, with what it found and what was wrong. */
export class TestMdns extends Mdns {
  readonly found: FoundInstance[] = [];
  readonly problems: { readonly interface: string | undefined; readonly error: Error }[] = [];
  #onNews: (() => void) | undefined;

  constructor(options: Partial<MdnsOptions> & Pick<MdnsOptions, "service">) {
    super({
      host: "::",
      onFound: (instance) => {
        this.found.push(instance);
        this.#onNews?.();
      },
      onProblem: (problem) => {
        this.problems.push(problem);
        this.#onNews?.();
      },
      random: systemRandom,
      clock: monotonicNow,
      interfaces: loopback,
      ...options,
    });
    open.push(this);
  }

  /** Resolves when `condition` holds, which is looked at with everything found and every problem. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
  }
}

// The other process of bench/quic.ts: the bare engine and a plain TCP server. Told what to be over IPC.
import { type BareSetup, serveBare } from "./support/bare-engine.ts";
import { serveTcp } from "./support/plain-tcp.ts";

process.on("message", (setup: BareSetup) => void serve(setup));
process.on("disconnect", () => process.exit(0));

async function serve(setup: BareSetup): Promise<void> {
  process.send?.({ tcp: await serveTcp(), quic: await serveBare(setup) });
}

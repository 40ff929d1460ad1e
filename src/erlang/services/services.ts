import { GenServer, type ProcessRuntime, Supervisor } from "../../process/index.ts";
import { erpcModule } from "./erpc.ts";
import { GlobalNameServer, type GlobalNames } from "./global.ts";
import { NetKernel } from "./net-kernel.ts";
import { Rex } from "./rex.ts";

/** Starts the processes that every Erlang node expects of another, supervised, and exports `erpc`. */
export async function startErlangServices(runtime: ProcessRuntime, names: GlobalNames): Promise<void> {
  runtime.exportModule("erpc", erpcModule);
  await Supervisor.start(runtime, {
    children: [
      {
        id: "net_kernel",
        start: (self) => GenServer.start(self, NetKernel, [], { name: "net_kernel" }),
      },
      { id: "rex", start: (self) => GenServer.start(self, Rex, [names.nameFor], { name: "rex" }) },
      {
        id: "global_name_server",
        start: (self) => GenServer.start(self, GlobalNameServer, [names], { name: "global_name_server" }),
      },
    ],
  });
}

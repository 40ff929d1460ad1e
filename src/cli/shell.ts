import { isatty } from "node:tty";
import { AdminClient, runningNode } from "../node/admin/client.ts";
import { Failure } from "./failure.ts";

/** The width of the terminal; 80 where it is none, or does not know (0). */
function terminalColumns(): number {
  const columns: number | undefined = process.stdout.columns;
  return columns === undefined || columns === 0 ? 80 : columns;
}

/**
 * Joins this terminal (or pipe) with a shell on the node that listens at `path`, until the user leaves it or the input
 * ends. The shell itself, with its line editing, history and Tab, runs in the node; keys go there as they are typed.
 * @throws Failure when the node went away meanwhile.
 */
export async function attachShell(path: string): Promise<void> {
  const client = await AdminClient.connect(path);
  // For a pipe they are undefined, whatever their types say.
  const terminal: boolean = isatty(0) && isatty(1);
  let onResize = (): void => {};
  try {
    const answer = await client.ask({
      op: "shell",
      terminal,
      columns: terminalColumns(),
    });
    const { session } = answer as { readonly session: number };
    if (terminal) {
      onResize = () => void resizeShell(path, session);
      process.stdin.setRawMode(true);
      process.stdout.on("resize", onResize);
    }
    await joinStreams(client);
  } finally {
    if (terminal) process.stdin.setRawMode(false);
    process.stdout.off("resize", onResize);
    // Standard input would keep the process alive.
    process.stdin.destroy();
    client.close();
  }
  if ((await runningNode(path)) === undefined) throw new Failure("the node has gone");
}

function joinStreams({ socket }: AdminClient): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.on("data", (bytes: Buffer) => {
      // A terminal that does not keep up holds back the node's output, rather than fill our memory.
      if (!process.stdout.write(bytes)) {
        socket.pause();
        process.stdout.once("drain", () => socket.resume());
      }
    });
    socket.once("close", resolve);
    socket.once("end", () => socket.end());
    process.stdout.once("error", reject);
    process.stdin.pipe(socket, { end: false });
    // The end of the input is the end of the shell once it has done everything before it. Were the connection closed
    // instead, the node could not tell it from a client that was killed.
    let lineEnded = true;
    process.stdin.on("data", (bytes: Buffer) => {
      lineEnded = bytes.at(-1) === 0x0a;
    });
    process.stdin.once("end", () => socket.write(lineEnded ? ".exit\n" : "\n.exit\n"));
    socket.resume();
  });
}

async function resizeShell(path: string, session: number): Promise<void> {
  try {
    const client = await AdminClient.connect(path);
    await client.ask({ op: "resize", session, columns: terminalColumns() });
    client.close();
  } catch {
    // A wrong width until the next resize is no reason to end the shell.
  }
}

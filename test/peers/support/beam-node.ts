import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MaculaNode, type MaculaNodeOptions } from "../../../src/node/macula-node.ts";
import { temporaryHome } from "../../cli/command.ts";
import { freePort } from "../../support/free-port.ts";

/** What nodes and commands of one test file share: a state folder, the compiled modules, the cookies. */
export interface World {
  readonly home: string;
  readonly ebin: string;
  readonly evaluator: string;
  readonly environment: Record<string, string>;
  /** For `erl` and all that it starts, as `macula beam` prints them. */
  readonly flags: readonly string[];
  /** An Erlang node; see `BeamNode.start`. */
  beam(name: string, options?: BeamOptions): Promise<BeamNode>;
  /** A Macula node in this process. */
  macula(options?: Partial<MaculaNodeOptions>): Promise<MaculaNode>;
  /** Ends all that was started. */
  close(): Promise<void>;
}

const realm = { realm: "test", cookie: "kq3v7xw2nfp5z6hjt4rmdycb8sgae9lu" } as const;
const main = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

export function openWorld(): World {
  const home = temporaryHome();
  const others = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("MACULA_") && !name.startsWith("ERL_"),
  ) as [string, string][];
  const environment = {
    ...Object.fromEntries(others),
    HOME: home.path,
    MACULA_HOME: home.path,
    MACULA_REALM: realm.realm,
    MACULA_COOKIE: realm.cookie,
    MACULA_BEAM_LINGER_MS: "1000",
  };
  const printed = execFileSync(process.execPath, [main, "beam", "--json"], {
    env: environment,
    encoding: "utf8",
  });
  const { flags, ebin } = JSON.parse(printed) as { flags: readonly string[]; ebin: string };
  const evaluator = mkdtempSync(join(tmpdir(), "macula-evaluator-"));
  const source = fileURLToPath(new URL("../erlang/evaluator.erl", import.meta.url));
  execFileSync("erlc", ["-o", evaluator, source]);
  const beams: BeamNode[] = [];
  const maculas: MaculaNode[] = [];
  const world: World = {
    home: home.path,
    ebin,
    evaluator,
    environment,
    flags,
    beam: async (name, options = {}) => {
      const beam = await BeamNode.start(world, name, options);
      beams.push(beam);
      return beam;
    },
    macula: async (options = {}) => {
      const node = await MaculaNode.start({
        name: `macula@localhost:${await freePort()}`,
        ...realm,
        stateDir: home.path,
        host: "127.0.0.1",
        discovery: { mdns: false },
        erlangCookie: "crumb",
        ...options,
      });
      maculas.push(node);
      return node;
    },
    close: async () => {
      await Promise.all(beams.map((beam) => beam.close()));
      await Promise.all(maculas.map((node) => node.close()));
      rmSync(evaluator, { recursive: true, force: true });
      home.remove();
    },
  };
  return world;
}

export interface BeamOptions {
  /** Besides those that make it use Macula and give it its name. */
  readonly flags?: readonly string[];
  /** Default "crumb". */
  readonly cookie?: string;
  /** Gets all flags of Macula from its environment. */
  readonly bare?: boolean;
  /** In place of `-name`. */
  readonly naming?: "-sname";
  readonly environment?: Readonly<Record<string, string>>;
}

/** A real Erlang node, which evaluates what it is asked. */
export class BeamNode {
  readonly name: string;
  readonly process: ChildProcess;
  readonly #socket: Socket;
  readonly #answers: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];
  readonly #watchers = new Set<() => void>();
  #bytes: Buffer = Buffer.alloc(0);
  /** All that it printed. */
  output = "";

  private constructor(name: string, child: ChildProcess, socket: Socket, printed: string) {
    this.name = name;
    this.process = child;
    this.#socket = socket;
    this.output = printed;
    const print = (chunk: Buffer): void => {
      this.output += chunk.toString();
      for (const watcher of this.#watchers) watcher();
    };
    child.stdout?.on("data", print);
    child.stderr?.on("data", print);
    socket.on("data", (chunk: Buffer) => this.#onData(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const { reject } of this.#answers.splice(0)) reject(new Error(`${name} ended: ${this.output}`));
    });
  }

  /** Starts `erl -name NAME -proto_dist macula ...`. @throws with what it printed when it ends instead. */
  static async start(world: World, name: string, options: BeamOptions = {}): Promise<BeamNode> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const child = spawn(
      "erl",
      [
        ...["-noinput", options.naming ?? "-name", name, "-pa", world.evaluator],
        ...(options.bare === true ? [] : world.flags),
        ...(options.bare === true ? [] : ["-setcookie", options.cookie ?? "crumb"]),
        ...[...(options.flags ?? []), "-s", "evaluator", "main"],
      ],
      {
        env: { ...world.environment, ...options.environment, MACULA_TEST_PORT: String(port) },
        stdio: ["ignore", "pipe", "pipe"],
        cwd: world.home,
      },
    );
    let printed = "";
    const print = (chunk: Buffer): void => void (printed += chunk.toString());
    child.stdout?.on("data", print);
    child.stderr?.on("data", print);
    try {
      const socket = await new Promise<Socket>((resolve, reject) => {
        server.once("connection", resolve);
        child.once("close", (code) => reject(new Error(`erl ended with ${code}: ${printed}`)));
      });
      child.stdout?.off("data", print);
      child.stderr?.off("data", print);
      return new BeamNode(name, child, socket, printed);
    } finally {
      server.close();
    }
  }

  /** The value of Erlang expressions, as `~0tp` prints it; `{error,badarg}` and the like when they fail. */
  eval(expressions: string): Promise<string> {
    const question = Buffer.from(expressions);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(question.length);
    this.#socket.write(header);
    this.#socket.write(question);
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
    });
  }

  /** Whether there is a connection to `node`, making one. */
  connect(node: BeamNode | string): Promise<string> {
    const name = typeof node === "string" ? node : node.name;
    return this.eval(`net_kernel:connect_node('${name}')`);
  }

  /** Resolves when it has printed `text`. */
  async printed(text: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!this.output.includes(text)) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
  }

  /** kill -9. Resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  async close(): Promise<void> {
    await this.kill();
    this.#socket.destroy();
  }

  #onData(chunk: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    while (this.#bytes.length >= 4) {
      const length = this.#bytes.readUInt32BE(0);
      if (this.#bytes.length < 4 + length) return;
      this.#answers.shift()?.resolve(this.#bytes.subarray(4, 4 + length).toString());
      this.#bytes = this.#bytes.subarray(4 + length);
    }
  }
}

import type { REPLEval, REPLServer } from "node:repl";
import { type Duplex, PassThrough } from "node:stream";
import { inspect } from "node:util";
import { MeshError } from "../../base/errors.ts";
import {
  Atom,
  BitString,
  ExportFun,
  Float,
  format,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
} from "../../etf/index.ts";
import type { Self } from "../../process/types.ts";
import type { AdminNode } from "./admin-node.ts";
import { LineFeed } from "./line-feed.ts";
import { replEnded, startRepl } from "./repl.ts";
import { shellCommands } from "./shell-commands.ts";

export interface ShellSessionOptions {
  readonly node: AdminNode;
  /** What is typed comes in, what is shown goes out. Closed when the session ends. */
  readonly stream: Duplex;
  /** Line editing, colours, history and Tab. */
  readonly terminal: boolean;
  /** Width of the terminal. */
  readonly columns: number;
  readonly historyFile?: string;
}

/** A result longer than this is cut: a million pids help nobody, and the terminal takes minutes for them. */
const shownCharactersMax = 100_000;

/** One shell on a node: a `node:repl` in the node's own process, running as a process of the node. */
export class ShellSession {
  readonly #options: ShellSessionOptions;
  readonly #over = withResolvers();
  #server: REPLServer | undefined;
  #ended = false;

  constructor(options: ShellSessionOptions) {
    this.#options = options;
  }

  /** Resolves when `run` is over. */
  get ended(): Promise<void> {
    return this.#over.promise;
  }

  /** Resolves when the user left, the client went away or `end` was called, and the history is written. */
  async run(): Promise<void> {
    const { node, stream } = this.#options;
    const gone = withResolvers();
    const self = await startShellProcess(node, gone.promise);
    if (!this.#ended && !stream.destroyed) {
      this.resize(this.#options.columns);
      await this.#start(self);
    }
    // Ends the shell's process, and with it its links, monitors and names.
    gone.resolve();
    stream.end();
    this.#over.resolve();
  }

  /** Tells the line editor how wide the terminal is now. */
  resize(columns: number): void {
    Object.assign(this.#options.stream, { columns });
    this.#options.stream.emit("resize");
  }

  end(): void {
    this.#ended = true;
    this.#server?.close();
  }

  async #start(self: Self): Promise<void> {
    const { node, stream, terminal, historyFile } = this.#options;
    const lines = terminal ? undefined : new LineFeed(stream);
    const keys = new PassThrough();
    const server = await startRepl({
      prompt: terminal ? `${node.name}> ` : "",
      input: lines?.output ?? keys,
      output: stream,
      terminal,
      useColors: terminal,
      useGlobal: false,
      // Also lets Ctrl-C end the wait for a promise.
      breakEvalOnSigint: true,
      // A preview evaluates what is half typed, and this is a live node.
      preview: false,
      writer: (value: unknown) => show(value, terminal),
    });
    const closed = new Promise((resolve) => server.once("close", resolve));
    let exited = false;
    const left = new Promise<void>((resolve) => {
      server.once("exit", () => {
        exited = true;
        resolve();
      });
      stream.once("close", resolve);
      // It may have gone while the REPL was being loaded.
      if (stream.destroyed) resolve();
    });
    awaitPromises(server);
    const print = (text: string): void => void stream.write(text);
    Object.assign(server.context, hostTypes, shellCommands({ node, self, print }));
    if (terminal) {
      // What is typed before the history is read would not get into it.
      if (historyFile !== undefined) {
        await new Promise((resolve) => server.setupHistory(historyFile, resolve));
      }
      stream.pipe(keys);
    }
    lines?.feed(server);
    // Not before: the REPL of Node 24 never says that it has read the history when it is closed meanwhile.
    this.#server = server;
    if (this.#ended || stream.destroyed) server.close();
    await left;
    server.close();
    // Only now the history is written: whoever ends the node may remove the folder.
    await closed;
    // In the middle of a wait the REPL keeps its exit to itself, and the file of its history open.
    if (!exited) server.emit("exit");
    replEnded();
  }
}

/**
 * The shell's code runs in a context of its own, with its own `Map` and the like. It gets ours, so that a `Map` made
 * in the shell is one to the encoder.
 */
const hostTypes = { Map, Set, Uint8Array, Error, RangeError, TypeError, Promise };

/** The process that the shell is to others. It traps exits: a linked process that fails must not end the shell. */
function startShellProcess(node: AdminNode, gone: Promise<void>): Promise<Self> {
  return new Promise((resolve) => {
    node.spawn(async (self) => {
      self.trapExit = true;
      resolve(self);
      await gone;
    });
  });
}

/** Waits for a result that is a promise and shows what it brings, as if `await` had been typed. */
function awaitPromises(server: REPLServer): void {
  const evaluate = server.eval;
  let pending: unknown;
  Object.defineProperty(server.context, "__pending", { get: () => pending });
  const evaluateAndAwait: REPLEval = (code, context, file, callback) => {
    evaluate.call(server, code, context, file, (error, value: unknown) => {
      if (error !== null || !isThenable(value)) {
        callback(error, value);
        return;
      }
      pending = value;
      // The REPL's own `await` stops reading meanwhile and knows how to be interrupted.
      evaluate.call(server, "await __pending\n", context, file, (failed, result: unknown) => {
        pending = undefined;
        callback(failed, result);
      });
    });
  };
  Object.assign(server, { eval: evaluateAndAwait });
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function"
  );
}

/** A value in Erlang's syntax when it is a term, else as Node.js shows it. */
function show(value: unknown, coloured: boolean): string {
  if (value instanceof MeshError) {
    const cause =
      value.cause === undefined ? "" : `\n  cause: ${inspect(value.cause, { colors: coloured, depth: 2 })}`;
    return `${value.code}: ${value.message}${cause}`;
  }
  if (isTermLike(value)) return format(value, { charactersMax: shownCharactersMax });
  return inspect(value, { colors: coloured, depth: 2 });
}

const termClasses = [
  Atom,
  Tuple,
  Float,
  BitString,
  ImproperList,
  Pid,
  Port,
  Reference,
  ExportFun,
  OpaqueFun,
  Uint8Array,
  Map,
];

/** Whether `value` itself is of a kind that terms are made of; `format` copes with what is inside. */
function isTermLike(value: unknown): value is Term {
  if (typeof value === "function" || typeof value === "symbol") return false;
  if (typeof value !== "object" || value === null || Array.isArray(value)) return true;
  if (termClasses.some((termClass) => value instanceof termClass)) return true;
  // A plain object, also one of the shell's own context.
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function withResolvers(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

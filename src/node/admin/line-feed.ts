import type { REPLServer } from "node:repl";
import { PassThrough, type Readable } from "node:stream";
import { LineSplitter } from "./lines.ts";

/** What one line of a script may have. */
const scriptLineBytesMax = 1_048_576;

/** Lines read ahead. */
const linesMax = 1_000;

/**
 * Gives a REPL that is no terminal its input line by line, each when the one before is done. The REPL alone would run
 * the next line while it still waits for a promise of the last.
 */
export class LineFeed {
  /** What the REPL reads. */
  readonly output = new PassThrough();
  readonly #input: Readable;
  readonly #waiting: string[] = [];
  #ready = false;
  #ended = false;

  constructor(input: Readable) {
    this.#input = input;
  }

  /** Begins, driven by `server`: it shows its prompt whenever it is done with a line. */
  feed(server: REPLServer): void {
    const displayPrompt = server.displayPrompt.bind(server);
    Object.assign(server, {
      displayPrompt: (preserveCursor?: boolean) => {
        displayPrompt(preserveCursor);
        this.#ready = true;
        this.#next();
      },
    });
    const splitter = new LineSplitter(scriptLineBytesMax);
    this.#input.on("data", (chunk: Uint8Array) => {
      try {
        this.#waiting.push(...splitter.push(chunk));
      } catch {
        // A line of a megabyte is no script.
        this.#input.destroy();
        return;
      }
      // A script of any length takes little memory. Short ones are read whole, so that the end of a client that is
      // killed while one of its lines waits for something is seen.
      if (this.#waiting.length > linesMax) this.#input.pause();
      this.#next();
    });
    this.#input.on("end", () => {
      this.#ended = true;
      this.#next();
    });
    this.#ready = true;
    this.#next();
  }

  #next(): void {
    if (!this.#ready) return;
    const line = this.#waiting.shift();
    if (line !== undefined) {
      this.#ready = false;
      this.output.write(`${line}\n`);
    } else if (this.#ended) this.output.end();
    else this.#input.resume();
  }
}

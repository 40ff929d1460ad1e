import { MeshError } from "../../base/errors.ts";

const newline = 0x0a;

/** Cuts a stream of bytes into lines. It holds one unfinished line of `lineBytesMax` at the most. */
export class LineSplitter {
  readonly #lineBytesMax: number;
  #parts: Uint8Array[] = [];
  #length = 0;

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax;
  }

  /**
   * The lines that `chunk` completes, without their ends.
   * @throws MeshError `LIMIT` when a line is too long; there is no going on after it.
   */
  push(chunk: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(newline, start);
      const part = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (this.#length + part.length > this.#lineBytesMax) {
        throw new MeshError("LIMIT", `a line of more than ${this.#lineBytesMax} bytes`);
      }
      this.#parts.push(part);
      this.#length += part.length;
      if (end < 0) return lines;
      lines.push(Buffer.concat(this.#parts).toString("utf8"));
      this.#parts = [];
      this.#length = 0;
      start = end + 1;
    }
  }

  /** What came after the last complete line. */
  rest(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

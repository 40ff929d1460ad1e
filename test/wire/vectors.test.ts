import { describe, expect, test } from "vitest";
import { MeshError, type MeshErrorCode } from "../../src/base/errors.ts";
import { hex } from "../../src/base/text.ts";
import { at } from "../../src/base/time.ts";
import { decodeFrame, encodeFrame, Inbox, ReassemblyBudget } from "../../src/wire/index.ts";
import { cut } from "./support.ts";
import vectors from "./vectors.json" with { type: "json" };

/** §6: what the vectors call by the specification's words is one of our codes. */
const codes: Readonly<Record<string, MeshErrorCode>> = {
  invalid_packet: "DECODE",
  unsupported_version: "VERSION_MISMATCH",
  payload_too_large: "LIMIT",
  too_many_incomplete: "LIMIT",
};

const bytesOfHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));

describe("frames", () => {
  test.each(vectors.frames)("$name", ({ name, bytes, ...expected }) => {
    const decoded = decodeFrame(bytesOfHex(bytes));
    if (decoded.result === "frame") {
      const { frame, rest } = decoded;
      const { type, flags } = frame;
      expect({ result: "frame", type, flags, payload: hex(frame.payload), rest: hex(rest) }).toEqual(
        expected,
      );
      expect(hex(encodeFrame(type, frame.payload, flags)) + hex(rest)).toBe(bytes);
    } else expect({ name, ...decoded }).toMatchObject({ name, ...expected });
  });
});

describe("streams, at once and byte by byte", () => {
  test.each(
    vectors.streams.flatMap((stream) => [
      { ...stream, step: 1_000_000 },
      { ...stream, step: 1 },
    ]),
  )("$name, $step", ({ bytes, messages, error, step }) => {
    const inbox = new Inbox({ budget: new ReassemblyBudget() });
    const received: { type: number; payload: string }[] = [];
    let failure: unknown;
    try {
      for (const piece of cut(bytesOfHex(bytes), [step])) {
        inbox.feed(piece);
        for (let frame = inbox.next(at(0)); frame !== undefined; frame = inbox.next(at(0))) {
          received.push({ type: frame.type, payload: hex(frame.payload) });
        }
      }
    } catch (thrown) {
      failure = thrown;
    }
    expect(received).toEqual(messages);
    if (error === undefined) expect(failure).toBeUndefined();
    else {
      expect(failure).toBeInstanceOf(MeshError);
      expect((failure as MeshError).code).toBe(codes[error]);
    }
  });
});

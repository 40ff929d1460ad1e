import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compare, concat, equal } from "../../src/base/bytes.ts";
import { MeshError } from "../../src/base/errors.ts";
import { nodeIdBytes, nodeIdFromBytes, parseNodeId } from "../../src/base/node-id.ts";
import { base32, base32Bytes, hex, utf8, utf8Text } from "../../src/base/text.ts";

const decodeError = expect.objectContaining({ name: "MeshError", code: "DECODE" });

describe("RFC 4648 §6: base32, lower case, unpadded", () => {
  test.each([
    ["", ""],
    ["f", "my"],
    ["fo", "mzxq"],
    ["foo", "mzxw6"],
    ["foob", "mzxw6yq"],
    ["fooba", "mzxw6ytb"],
    ["foobar", "mzxw6ytboi"],
  ])("§10: %j is %j", (text, encoded) => {
    expect(base32(utf8(text))).toBe(encoded);
    expect(utf8Text(base32Bytes(encoded))).toBe(text);
  });

  test("gives back all bytes", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => equal(base32Bytes(base32(bytes)), bytes)));
  });

  test("no two texts name the same bytes", () => {
    const text = fc.string({ unit: fc.constantFrom(...Array.from("abcdefghijklmnopqrstuvwxyz234567")) });
    fc.assert(
      fc.property(text, (given) => {
        let bytes: Uint8Array;
        try {
          bytes = base32Bytes(given);
        } catch (error) {
          expect(error).toEqual(decodeError);
          return;
        }
        expect(base32(bytes)).toBe(given);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(["a", "mzx", "mzxw6y", "mz", "my======", "MY", "m1", "m y", "m\u{1f600}", "mÿ"])(
    "refuses %j",
    (text) => {
      expect(() => base32Bytes(text)).toThrow(decodeError);
    },
  );
});

describe("node ids", () => {
  test("are 32 bytes as 52 characters", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const id = nodeIdFromBytes(bytes);
        expect(id).toHaveLength(52);
        expect(parseNodeId(id)).toBe(id);
        expect(equal(nodeIdBytes(id), bytes)).toBe(true);
      }),
    );
  });

  test.each([0, 31, 33])("%d bytes are none", (length) => {
    expect(() => nodeIdFromBytes(new Uint8Array(length))).toThrow(decodeError);
    expect(() => parseNodeId(base32(new Uint8Array(length)))).toThrow(decodeError);
  });
});

describe("UTF-8", () => {
  test("gives back all text", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => utf8Text(utf8(text)) === text));
    // A byte order mark is text like any other.
    expect(utf8Text(utf8("\ufeffa"))).toBe("\ufeffa");
  });

  test.each(["ff", "c0af", "eda080", "f4908080", "e282", "80"])("%s is not well-formed", (text) => {
    expect(() => utf8Text(new Uint8Array(Buffer.from(text, "hex")))).toThrow(decodeError);
  });

  test("hex", () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => hex(bytes) === Buffer.from(bytes).toString("hex")));
  });
});

describe("bytes", () => {
  test("concat puts copies behind each other", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), (parts) => {
        const whole = concat(parts);
        expect(Buffer.compare(whole, Buffer.concat(parts))).toBe(0);
        for (const part of parts) expect(part.buffer).not.toBe(whole.buffer);
      }),
    );
  });

  test("compare orders as memcmp does, equal is its zero", () => {
    const bytes = fc.uint8Array({ maxLength: 4, max: 255 });
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(Math.sign(compare(a, b))).toBe(Buffer.compare(a, b));
        expect(equal(a, b)).toBe(Buffer.compare(a, b) === 0);
      }),
    );
  });
});

test("errors carry code, offset and cause", () => {
  const cause = new Error("why");
  const error = new MeshError("DECODE", "what", { cause, offset: 7 });
  expect(error).toMatchObject({ name: "MeshError", code: "DECODE", message: "what", cause, offset: 7 });
  expect(new MeshError("LIMIT", "what").offset).toBeUndefined();
});

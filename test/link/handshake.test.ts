import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MeshError } from "../../src/base/errors.ts";
import { nodeIdFromBytes } from "../../src/base/node-id.ts";
import { seededRandom } from "../../src/base/random.ts";
import { at } from "../../src/base/time.ts";
import { atom, encode, type Term } from "../../src/etf/index.ts";
import {
  decodeHandshake,
  encodeHandshake,
  Handshake,
  type HandshakeMessage,
  type HandshakeOutput,
  type HandshakeSetup,
} from "../../src/link/index.ts";
import { fakeCrypto } from "./support/world.ts";

const keys = { dialler: new Uint8Array(32).fill(1), listener: new Uint8Array(32).fill(2) };
const ids = { dialler: nodeIdFromBytes(keys.dialler), listener: nodeIdFromBytes(keys.listener) };
const names = { dialler: "d@host:1", listener: "l@host:2" };
type Role = "dialler" | "listener";
const otherRole = (role: Role): Role => (role === "dialler" ? "listener" : "dialler");

interface PairOptions {
  readonly setup?: Partial<Record<Role, Partial<HandshakeSetup>>>;
  /** Changes what `from` says on its way. */
  readonly tamper?: (message: HandshakeMessage, from: Role) => HandshakeMessage;
  /** When the listener's engine completes its handshake: before everything, or only after the first flight. */
  readonly early?: boolean;
}

/** Two handshakes that talk to each other; what each of them put out, in order. */
function pair({
  setup = {},
  tamper = (message) => message,
  early = false,
}: PairOptions = {}): Record<Role, string[]> {
  const said: Record<Role, string[]> = { dialler: [], listener: [] };
  const make = (role: Role): Handshake =>
    new Handshake(
      {
        role,
        self: { name: names[role], nodeId: ids[role], creation: 1 },
        capabilities: ["signals"],
        timeoutMs: 5_000,
        random: seededRandom(role === "dialler" ? 1 : 2),
        crypto: fakeCrypto(keys[role]),
        ...(role === "dialler" ? { expectedName: names.listener } : {}),
        ...setup[role],
      },
      at(0),
    );
  const sides = { dialler: make("dialler"), listener: make("listener") };
  const peerOf = (role: Role) => ({ nodeId: ids[otherRole(role)], publicKey: keys[otherRole(role)] });
  const drain = (role: Role): void => {
    for (let output = sides[role].poll(); output !== undefined; output = sides[role].poll())
      react(role, output);
  };
  const react = (role: Role, output: HandshakeOutput): void => {
    if (output.type === "send") {
      const payload = encodeHandshake(tamper(decodeHandshake(output.payload), role));
      sides[otherRole(role)].handle({ type: "message", payload }, at(1));
      drain(otherRole(role));
    } else if (output.type === "introduced") {
      said[role].push(output.early ? "introduced early" : "introduced");
      sides[role].handle({ type: "admit" }, at(1));
      drain(role);
    } else said[role].push(output.type === "fail" ? output.ending.code : `complete with ${output.peer.name}`);
  };
  sides.listener.handle({ type: "start" }, at(0));
  if (!early) sides.listener.handle({ type: "established", peer: peerOf("listener") }, at(0));
  if (!early) sides.dialler.handle({ type: "established", peer: peerOf("dialler") }, at(0));
  sides.dialler.handle({ type: "start" }, at(0));
  drain("dialler");
  if (early) {
    sides.dialler.handle({ type: "established", peer: peerOf("dialler") }, at(1));
    drain("dialler");
    expect(said.listener.filter((each) => each.startsWith("complete"))).toEqual([]);
    sides.listener.handle({ type: "established", peer: peerOf("listener") }, at(2));
    drain("listener");
  }
  return said;
}

describe("DESIGN §5: the link handshake", () => {
  test("hello, answer, proof: both know each other", () => {
    expect(pair()).toEqual({
      dialler: ["introduced", "complete with l@host:2"],
      listener: ["introduced", "complete with d@host:1"],
    });
  });

  test("early data: the listener answers, and is done only when the engine is", () => {
    expect(pair({ early: true })).toEqual({
      dialler: ["introduced", "complete with l@host:2"],
      listener: ["introduced early", "complete with d@host:1"],
    });
  });

  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, index) => (index === 5 ? byte ^ 1 : byte));
  const tamperings: readonly [string, Role, string, (message: HandshakeMessage) => HandshakeMessage][] = [
    [
      "the listener's signature",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "answer" ? { ...m, signature: flip(m.signature) } : m),
    ],
    [
      "the listener's challenge",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "answer" ? { ...m, challenge: flip(m.challenge) } : m),
    ],
    [
      "the listener's creation",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "answer" ? { ...m, creation: 2 } : m),
    ],
    [
      "the listener's capabilities",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "answer" ? { ...m, capabilities: ["signals", "x"] } : m),
    ],
    [
      "the listener's id",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "answer" ? { ...m, nodeId: ids.dialler } : m),
    ],
    [
      "the answered version",
      "dialler",
      "version_mismatch",
      (m) => (m.kind === "answer" ? { ...m, version: 2 } : m),
    ],
    [
      "the dialler's challenge",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "hello" ? { ...m, challenge: flip(m.challenge) } : m),
    ],
    [
      "the dialler's versions",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "hello" ? { ...m, versions: [1, 2] } : m),
    ],
    [
      "the dialler's name",
      "dialler",
      "invalid_challenge",
      (m) => (m.kind === "hello" ? { ...m, name: "x@host:1" } : m),
    ],
    [
      "the dialler's id",
      "listener",
      "invalid_challenge",
      (m) => (m.kind === "hello" ? { ...m, nodeId: ids.listener } : m),
    ],
    [
      "the dialler's proof",
      "listener",
      "invalid_challenge",
      (m) => (m.kind === "proof" ? { ...m, signature: flip(m.signature) } : m),
    ],
  ];

  test.each(tamperings)("changing %s on the way ends it at the %s: %s", (_, role, code, tamper) => {
    expect(pair({ tamper })[role].at(-1)).toBe(code);
  });

  test("a signature cannot be played back to its maker: the role is signed", () => {
    let proof: Uint8Array | undefined;
    const reflected = pair({
      tamper: (message) => {
        if (message.kind === "answer") proof = message.signature;
        return message.kind === "proof" && proof !== undefined ? { ...message, signature: proof } : message;
      },
    });
    expect(reflected.listener.at(-1)).toBe("invalid_challenge");
  });

  test("whoever answers under another name is not who was dialled", () => {
    const said = pair({ setup: { dialler: { expectedName: "other@host:9" } } });
    expect(said.dialler).toEqual(["wrong_node"]);
    expect(said.listener).toEqual(["introduced"]);
  });

  test("the capabilities of a link are those that both have", () => {
    const handshakes = pair({
      setup: { dialler: { capabilities: ["a"] }, listener: { capabilities: ["b"] } },
    });
    expect(handshakes.listener).toEqual(["no_common_capabilities"]);
  });

  test("half a handshake times out, a whole one does not", () => {
    const handshake = new Handshake(
      {
        role: "listener",
        self: { name: names.listener, nodeId: ids.listener, creation: 1 },
        capabilities: ["signals"],
        timeoutMs: 5_000,
        random: seededRandom(1),
        crypto: fakeCrypto(keys.listener),
      },
      at(100),
    );
    expect(handshake.deadline()).toBe(5_100);
    handshake.handle({ type: "tick" }, at(5_099));
    expect(handshake.poll()).toBeUndefined();
    handshake.handle({ type: "tick" }, at(5_100));
    expect(handshake.poll()).toMatchObject({ type: "fail", ending: { code: "timeout" } });
    expect(handshake.deadline()).toBeUndefined();
  });
});

describe("wire protocol: HANDSHAKE payloads", () => {
  const hello: HandshakeMessage = {
    kind: "hello",
    versions: [1, 7],
    name: "näme@host:1".replace("ä", "a"),
    nodeId: ids.dialler,
    capabilities: ["signals"],
    creation: 0xffff_ffff,
    challenge: new Uint8Array(32).fill(65),
  };

  test("each kind survives the way there", () => {
    const { versions: _, ...introduction } = hello;
    const signature = new Uint8Array(64).fill(3);
    for (const message of [
      hello,
      { ...introduction, kind: "answer", version: 1, signature },
      { kind: "proof", signature },
    ] as const) {
      expect(decodeHandshake(encodeHandshake(message))).toEqual(message);
    }
  });

  const wrongFields: readonly [string, Term][] = [
    ["kind", atom("bye")],
    ["kind", 1],
    ["versions", [0]],
    ["versions", [256]],
    ["versions", Array.from({ length: 17 }, () => 1)],
    ["name", new Uint8Array([255])],
    ["name", new TextEncoder().encode("no node name")],
    ["id", new Uint8Array(31)],
    ["capabilities", ["text"]],
    ["capabilities", Array.from({ length: 65 }, () => atom("a"))],
    ["creation", 0],
    ["creation", 2 ** 32],
    ["creation", 1.5],
    ["challenge", new Uint8Array(33)],
  ];

  test.each(wrongFields)("a wrong %s is DECODE", (key, value) => {
    const fields = new Map<Term, Term>([
      [atom("kind"), atom("hello")],
      [atom("versions"), [1]],
      [atom("name"), new TextEncoder().encode(hello.kind === "hello" ? hello.name : "")],
      [atom("id"), keys.dialler],
      [atom("capabilities"), [atom("signals")]],
      [atom("creation"), 1],
      [atom("challenge"), new Uint8Array(32)],
    ]);
    expect(decodeHandshake(encode(fields)).kind).toBe("hello");
    fields.set(atom(key), value);
    expect(() => decodeHandshake(encode(fields))).toThrow(
      expect.objectContaining({ code: "DECODE" }) as Error,
    );
    fields.delete(atom(key));
    expect(() => decodeHandshake(encode(fields))).toThrow(
      expect.objectContaining({ code: "DECODE" }) as Error,
    );
  });

  test("arbitrary bytes are a message or DECODE", () => {
    const valid = encodeHandshake(hello);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(valid.length - 1), (noise, position) => {
        const mutated = valid.slice();
        mutated.set(noise.subarray(0, mutated.length - position), position);
        for (const bytes of [noise, mutated]) {
          try {
            decodeHandshake(bytes);
          } catch (error) {
            expect(error).toBeInstanceOf(MeshError);
            expect((error as MeshError).code).toBe("DECODE");
          }
        }
      }),
    );
  });
});

import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { hex, utf8 } from "../../src/base/text.ts";
import { at } from "../../src/base/time.ts";
import { capabilities, missingCapabilities, offeredFlags } from "../../src/erlang/flags.ts";
import { admissionOf, ErlangHandshake, type HandshakeOutput } from "../../src/erlang/index.ts";
import {
  decodeName,
  decodeReply,
  encodeChallenge,
  encodeName,
  encodeStatus,
} from "../../src/erlang/messages.ts";
import { erlangDigest } from "../../src/io/erlang-cookie.ts";

const { handshake: vectors } = JSON.parse(readFileSync("test/erlang/vectors.json", "utf8")) as {
  handshake: { hex: string }[];
};
const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"));
const nameMe = 0x2_0000_0000n;

function machine(
  role: "dialler" | "listener",
  {
    name = role === "dialler" ? "a@h" : "b@h",
    cookie = "cookie",
    seed = 1,
    expects = (name: string): boolean => name !== "",
  } = {},
): ErlangHandshake {
  return new ErlangHandshake(
    {
      role,
      name,
      creation: 5,
      digest: erlangDigest(cookie),
      random: seededRandom(seed),
      isExpected: expects,
      timeoutMs: 1_000,
    },
    at(0),
  );
}

function outputs(of: ErlangHandshake): HandshakeOutput[] {
  const all: HandshakeOutput[] = [];
  for (let output = of.poll(); output !== undefined; output = of.poll()) all.push(output);
  return all;
}

/** Runs two machines against each other until neither has anything to say; what else they put out. */
function play(
  dialler: ErlangHandshake,
  listener: ErlangHandshake,
  admission: Parameters<ErlangHandshake["handle"]>[0] = { type: "admit", admission: "ok" },
): { dialler: HandshakeOutput[]; listener: HandshakeOutput[] } {
  const said = { dialler: [] as HandshakeOutput[], listener: [] as HandshakeOutput[] };
  dialler.handle({ type: "start" }, at(0));
  for (let busy = true; busy; ) {
    busy = false;
    for (const [from, to, log] of [
      [dialler, listener, said.dialler],
      [listener, dialler, said.listener],
    ] as const) {
      for (const output of outputs(from)) {
        busy = true;
        if (output.type === "send") to.handle({ type: "packet", bytes: output.bytes }, at(0));
        else log.push(output);
        if (output.type === "introduced") from.handle(admission, at(0));
      }
    }
  }
  return said;
}

const failure = (code: string): HandshakeOutput =>
  ({ type: "fail", error: expect.objectContaining({ code }) as Error }) as HandshakeOutput;

describe("the handshake", () => {
  test("both sides prove the cookie and know each other", () => {
    const said = play(machine("dialler"), machine("listener"));
    expect(said.dialler).toMatchObject([{ type: "complete", peer: { name: "b@h", creation: 5 } }]);
    expect(said.listener).toMatchObject([
      { type: "introduced", name: "a@h" },
      { type: "complete", peer: { name: "a@h", creation: 5 } },
    ]);
  });

  test.each(["ok_simultaneous", "alive"] as const)("%s goes on to the end", (admission) => {
    const said = play(machine("dialler"), machine("listener"), { type: "admit", admission });
    expect(said.dialler.at(-1)).toMatchObject({ type: "complete" });
    expect(said.listener.at(-1)).toMatchObject({ type: "complete" });
  });

  test("nok: the dialler's attempt is superseded by the listener's own", () => {
    const said = play(machine("dialler"), machine("listener"), { type: "admit", admission: "nok" });
    expect(said.dialler).toEqual([{ type: "superseded" }]);
    expect(said.listener.at(-1)).toMatchObject(failure("CLOSED"));
  });

  test("not_allowed is REFUSED", () => {
    const said = play(machine("dialler"), machine("listener"), { type: "admit", admission: "not_allowed" });
    expect(said.dialler).toMatchObject([failure("REFUSED")]);
  });

  test("another cookie: the listener finds out, and the dialler from its hanging up", () => {
    const dialler = machine("dialler");
    const said = play(dialler, machine("listener", { cookie: "other" }));
    expect(said.listener.at(-1)).toMatchObject(failure("INVALID_CHALLENGE"));
    dialler.handle({ type: "ended", error: undefined }, at(1));
    expect(outputs(dialler)).toMatchObject([failure("INVALID_CHALLENGE")]);
  });

  test("a listener that does not know the cookie cannot pass for one that does", () => {
    const dialler = machine("dialler");
    dialler.handle({ type: "start" }, at(0));
    dialler.handle({ type: "packet", bytes: encodeStatus("ok") }, at(0));
    const challenge = encodeChallenge({ flags: offeredFlags, challenge: 1, creation: 1, name: "b@h" });
    dialler.handle({ type: "packet", bytes: challenge }, at(0));
    outputs(dialler);
    dialler.handle({ type: "packet", bytes: Uint8Array.of(0x61, ...new Uint8Array(16)) }, at(0));
    expect(outputs(dialler)).toMatchObject([failure("INVALID_CHALLENGE")]);
  });

  test("somebody else than was dialled is WRONG_NODE, before the cookie is used", () => {
    const said = play(machine("dialler", { expects: (name) => name === "c@h" }), machine("listener"));
    expect(said.dialler).toMatchObject([failure("WRONG_NODE")]);
  });

  test("a listener without the capabilities of OTP 25 is NO_COMMON_CAPABILITIES, with their names", () => {
    const dialler = machine("dialler");
    dialler.handle({ type: "start" }, at(0));
    dialler.handle({ type: "packet", bytes: encodeStatus("ok") }, at(0));
    outputs(dialler);
    const flags = offeredFlags & ~0x200_0000n;
    const challenge = encodeChallenge({ flags, challenge: 1, creation: 1, name: "b@h" });
    dialler.handle({ type: "packet", bytes: challenge }, at(0));
    const [output] = outputs(dialler);
    expect(output).toMatchObject(failure("NO_COMMON_CAPABILITIES"));
    expect(output?.type === "fail" && output.error.message).toContain("b@h lacks UNLINK_ID");
  });

  test("a node without a name gets one, and keeps the flag that asks for it", () => {
    const listener = machine("listener");
    listener.handle(
      { type: "packet", bytes: encodeName({ flags: offeredFlags | nameMe, creation: 0, name: "h" }) },
      at(0),
    );
    const [introduced] = outputs(listener);
    expect(introduced).toMatchObject({
      type: "introduced",
      name: expect.stringMatching(/^[0-9A-Z]{13}@h$/) as string,
    });
    listener.handle({ type: "admit", admission: "ok" }, at(0));
    const [named, challenge] = outputs(listener) as { bytes: Uint8Array }[];
    expect(Buffer.from(named?.bytes ?? []).toString("latin1")).toContain("snamed:");
    expect(decodeName(challenge?.bytes.subarray(0) ?? new Uint8Array()).flags & nameMe).toBe(nameMe);
  });

  test("what is due when: one time-out for all of it", () => {
    const listener = machine("listener");
    expect(listener.deadline()).toBe(at(1_000));
    listener.handle({ type: "tick" }, at(999));
    expect(outputs(listener)).toEqual([]);
    listener.handle({ type: "tick" }, at(1_000));
    expect(outputs(listener)).toMatchObject([failure("TIMEOUT")]);
    expect(listener.deadline()).toBeUndefined();
  });

  test("OTP's own first message and proof are read; ours has the same form", () => {
    const [name, reply] = vectors.map((vector) => bytesOf(vector.hex));
    const decoded = decodeName(name ?? new Uint8Array());
    expect(decoded.name).toBe("erl@localhost");
    expect(missingCapabilities(decoded.flags)).toEqual([]);
    expect(hex(encodeName(decoded))).toBe(vectors[0]?.hex);
    expect(decodeReply(reply ?? new Uint8Array()).digest).toHaveLength(16);
  });

  test("the digest is md5(Cookie ++ integer_to_list(Challenge))", () => {
    // 1> erlang:md5("COOKIE" ++ integer_to_list(4294967295)).
    expect(hex(erlangDigest("COOKIE")(4_294_967_295))).toBe("88c5fcced016fee71b36aae87ac1b1fe");
  });

  test("whatever comes, and in whatever order: an output, never a throw, and nothing completes", () => {
    const start = encodeName({ flags: offeredFlags, creation: 1, name: "a@h" });
    const packet = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom(start, encodeStatus("ok"), encodeStatus("true"), encodeStatus("alive"), utf8("sfoo")),
      fc.tuple(fc.nat(start.length - 1), fc.nat(255)).map(([at, byte]) => start.with(at, byte)),
    );
    const input = fc.oneof(
      packet.map((bytes) => ({ type: "packet", bytes }) as const),
      fc.constantFrom(
        { type: "admit", admission: "ok" } as const,
        { type: "admit", admission: "alive" } as const,
        { type: "start" } as const,
      ),
    );
    fc.assert(
      fc.property(
        fc.constantFrom("dialler" as const, "listener" as const),
        fc.array(input),
        (role, inputs) => {
          const under = machine(role);
          for (const one of inputs) {
            // The dialler starts by itself, once.
            if (one.type !== "start" || role === "dialler") under.handle(one, at(0));
          }
          expect(outputs(under).some(({ type }) => type === "complete")).toBe(false);
        },
      ),
    );
  });
});

describe("capabilities", () => {
  test("each has a bit of its own; MANDATORY_25_DIGEST stands for the mandatory ones", () => {
    expect(new Set(capabilities.map(({ bit }) => bit)).size).toBe(capabilities.length);
    const late = 0xd_0000_0000n | 0x400_0000n | 0x200_0000n | 0x40_0000n | 0x8_0000n | 0x28n;
    expect(missingCapabilities(late)).toEqual([]);
    expect(missingCapabilities(late & ~0x400_0000n)).toContain("BIG_CREATION");
    expect(missingCapabilities(0n)).toContain("ALIAS");
    expect(missingCapabilities(offeredFlags)).toEqual([]);
  });
});

describe("two dials at once, as net_kernel decides", () => {
  test.each([
    ["b@h", "a@h", "nothing", "ok"],
    ["b@h", "a@h", "dial", "nok"],
    ["a@h", "b@h", "dial", "ok_simultaneous"],
    ["a@h", "b@h", "connection", "alive"],
    ["b@h", "a@h", "connection", "alive"],
  ] as const)("we are %s, %s dials, there is %s: %s", (own, peer, existing, admission) => {
    expect(admissionOf(own, peer, existing)).toBe(admission);
  });
});

import { expect, test } from "vitest";
import { at } from "../../src/base/time.ts";
import { atom, charlist, Pid, Reference, type Term, tuple } from "../../src/etf/index.ts";
import { ProcessRuntime, type Signal } from "../../src/process/index.ts";

/* Formatting by the group leader: code of the asker's node, called there. */

const other = "erl@localhost";
const third = "third@localhost";
const ref = new Reference(other, 1, [1, 2, 3]);

function world(): {
  runtime: ProcessRuntime;
  sent: Signal[];
  printed: string[];
  receive: (node: string, message: Term) => void;
} {
  const sent: Signal[] = [];
  const printed: string[] = [];
  const runtime = new ProcessRuntime({
    node: "ts@localhost",
    creation: 1,
    sink: {
      send: (_node, _lane, _key, signal) => {
        sent.push(signal);
        return true;
      },
    },
    clock: () => at(0),
    wake: () => undefined,
    print: (text) => printed.push(text),
  });
  const receive = (node: string, message: Term): void => {
    const from = new Pid(node, 9, 0, 1);
    const signal: Signal = { type: "regSend", from, name: "user", message };
    runtime.handle({ type: "signal", node, stream: 1, bytes: 10, signal }, at(0));
  };
  return { runtime, sent, printed, receive };
}

function format(asker: string): Term {
  const request = tuple(atom("put_chars"), atom("unicode"), atom("io_lib"), atom("format"), [
    charlist("~p"),
    [1],
  ]);
  return tuple(atom("io_request"), new Pid(asker, 9, 0, 1), ref, request);
}

test("a format request is a call on the node that it came from, and its result is printed", async () => {
  const { runtime, sent, printed, receive } = world();
  receive(other, format(other));
  expect(sent).toMatchObject([{ type: "rpcCall", module: "io_lib", function: "format" }]);
  const [call] = sent as Extract<Signal, { type: "rpcCall" }>[];
  const reply: Signal = { type: "rpcReply", id: call?.id ?? 0, status: "ok", value: charlist("1") };
  runtime.handle({ type: "signal", node: other, stream: 1, bytes: 10, signal: reply }, at(0));
  await expect
    .poll(() => sent.at(-1))
    .toMatchObject({ type: "send", message: tuple(atom("io_reply"), ref, atom("ok")) });
  expect(printed).toEqual(["1"]);
});

test("nobody makes this node call functions of a third one", () => {
  const { sent, receive } = world();
  receive(other, format(third));
  expect(sent).toMatchObject([
    { type: "send", message: tuple(atom("io_reply"), ref, tuple(atom("error"), atom("enotsup"))) },
  ]);
});

import { utf8Text } from "../base/text.ts";
import { Atom, atom, ImproperList, Pid, type Term, Tuple, tuple } from "../etf/index.ts";
import type { Kernel } from "./kernel.ts";
import type { Process } from "./process.ts";

const ioRequest = atom("io_request");
const ioReply = atom("io_reply");
const putChars = atom("put_chars");
const unicode = atom("unicode");
const ok = atom("ok");
const error = atom("error");
const request = atom("request");
const enotsup = atom("enotsup");

const requestsPerMessageMax = 1_000;
const nestingMax = 1_000;
const formattingMax = 1_000;

/** Prints through the group leader of `process`, in Erlang's I/O protocol. */
export async function print(process: Process, text: string): Promise<void> {
  await process.ask(process.groupLeader, (ref) =>
    tuple(ioRequest, process.pid, ref, tuple(putChars, unicode, text)),
  );
}

/**
 * The process registered as `user`: the group leader of all that have no other, and of Erlang processes that were
 * spawned from here. It takes output; there is no input (`{error, enotsup}`). Formatting (`io:format`) is code of the
 * asker's node, `{put_chars, Encoding, Module, Function, Args}`, and that is where it is called.
 */
export function startUser(kernel: Kernel): Process {
  const user = kernel.create(undefined, undefined);
  let formatting = 0;
  user.handler = (message, node) => {
    if (!(message instanceof Tuple) || message.length !== 4 || message.elements[0] !== ioRequest) return;
    const [, from, replyAs, asked] = message.elements;
    if (!(from instanceof Pid)) return;
    // Threat: a request in the name of another node's process would have us call functions there that its sender may not.
    const format = node === undefined || node !== from.node ? undefined : formatOf(asked);
    if (format === undefined) respond(from, replyAs, answer(asked, kernel.options.print));
    // Threat: requests without end, each of which waits for its answer here.
    else if (formatting >= formattingMax) respond(from, replyAs, tuple(error, enotsup));
    else void formatFor(from, replyAs, format);
  };
  const formatFor = async (from: Pid, replyAs: Term, format: Format): Promise<void> => {
    formatting++;
    const result = await putFormatted(kernel, user, from.node, format);
    formatting--;
    respond(from, replyAs, result);
  };
  const respond = (from: Pid, replyAs: Term, result: Term): void => {
    const reply = tuple(ioReply, replyAs, result);
    // The asker may be gone, or out of reach: no matter.
    if (kernel.isLocal(from)) kernel.find(from)?.deliver(reply, 0);
    else {
      const { lane, orderKey } = user;
      kernel.signalSurely(from.node, lane, orderKey, {
        type: "send",
        from: user.pid,
        to: from,
        message: reply,
      });
    }
  };
  kernel.names.register("user", user);
  return user;
}

interface Format {
  readonly encoding: string;
  readonly module: string;
  readonly name: string;
  readonly args: readonly Term[];
}

/** `{put_chars, Encoding, Module, Function, Args}`. */
function formatOf(asked: Term): Format | undefined {
  if (!(asked instanceof Tuple) || asked.length !== 5) return undefined;
  const [kind, encoding, module, name, args] = asked.elements;
  if (kind !== putChars || !(encoding instanceof Atom) || !(module instanceof Atom)) return undefined;
  if (!(name instanceof Atom) || !Array.isArray(args)) return undefined;
  return { encoding: encoding.name, module: module.name, name: name.name, args: args as readonly Term[] };
}

async function putFormatted(kernel: Kernel, user: Process, node: string, format: Format): Promise<Term> {
  try {
    const chars = await kernel.rpc.call(user, node, format.module, format.name, format.args);
    return put(format.encoding, chars, kernel.options.print);
  } catch {
    return tuple(error, enotsup);
  }
}

function answer(asked: Term, show: (text: string) => void): Term {
  if (!(asked instanceof Tuple)) return tuple(error, request);
  const [kind, first, second] = asked.elements;
  if (!(kind instanceof Atom)) return tuple(error, request);
  switch (kind.name) {
    case "put_chars":
      if (asked.length === 2) return put("latin1", first, show);
      if (asked.length === 3 && first instanceof Atom) return put(first.name, second, show);
      return tuple(error, asked.length === 5 || asked.length === 4 ? enotsup : request);
    case "requests": {
      if (!Array.isArray(first) || first.length > requestsPerMessageMax) return tuple(error, request);
      // All in order, up to the first that fails, whose answer is the answer.
      let last: Term = ok;
      for (const one of first as readonly Term[]) {
        last = answer(one, show);
        if (last instanceof Tuple) return last;
      }
      return last;
    }
    case "get_line":
    case "get_chars":
    case "get_until":
    case "get_password":
    case "get_geometry":
    case "setopts":
    case "getopts":
      return tuple(error, enotsup);
    default:
      return tuple(error, request);
  }
}

function put(encoding: string, chars: Term, show: (text: string) => void): Term {
  if (encoding !== "unicode" && encoding !== "latin1" && encoding !== "utf8") return tuple(error, request);
  const text: string[] = [];
  if (!flatten(chars, encoding !== "latin1", text, nestingMax)) return tuple(error, putChars);
  show(text.join(""));
  return ok;
}

/** Erlang's `unicode:chardata()`: text, code points, and lists of such. False when it is anything else. */
function flatten(chars: Term, isUtf8: boolean, into: string[], depth: number): boolean {
  if (depth === 0) return false;
  if (typeof chars === "string") into.push(chars);
  else if (typeof chars === "number") {
    if (!Number.isInteger(chars) || chars < 0 || chars > 0x10_ffff) return false;
    into.push(String.fromCodePoint(chars));
  } else if (chars instanceof Uint8Array) {
    if (isUtf8) {
      try {
        into.push(utf8Text(chars));
      } catch {
        return false;
      }
    } else into.push(Array.from(chars, (byte) => String.fromCharCode(byte)).join(""));
  } else if (chars instanceof ImproperList) {
    return (
      chars.elements.every((part) => flatten(part, isUtf8, into, depth - 1)) &&
      flatten(chars.tail, isUtf8, into, depth - 1)
    );
  } else if (Array.isArray(chars)) {
    return (chars as readonly Term[]).every((part) => flatten(part, isUtf8, into, depth - 1));
  } else return false;
  return true;
}

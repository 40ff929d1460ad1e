import asyncHooks, { type AsyncHook } from "node:async_hooks";
import type { REPLServer, ReplOptions } from "node:repl";

/*
 * `node:repl` catches what is thrown in a shell later (in a timer, in a promise nobody awaits) through Node's domains:
 * without them a slip in a shell would end the node. But the first domain switches on an async hook for good, and every
 * `await` in the process then takes about ten times as long (measured: 55 ns before, 700 ns after). So we keep hold of
 * that hook and switch it off when the last shell is left; the next shell's domain switches it on again.
 */

type Start = (options: ReplOptions) => REPLServer;

let hook: AsyncHook | undefined;
let loading: Promise<Start> | undefined;
let openShells = 0;

/** `node:repl`'s `start`. Call `replEnded` once for each. */
export async function startRepl(options: ReplOptions): Promise<REPLServer> {
  loading ??= loadRepl();
  const start = await loading;
  openShells++;
  return start(options);
}

export function replEnded(): void {
  openShells--;
  if (openShells === 0) hook?.disable();
}

/** Loading the module creates the hook, once per process. Where a program uses domains itself the hook stays on. */
async function loadRepl(): Promise<Start> {
  const { createHook } = asyncHooks;
  asyncHooks.createHook = (callbacks) => {
    hook = createHook(callbacks);
    return hook;
  };
  try {
    return (await import("node:repl")).start;
  } finally {
    asyncHooks.createHook = createHook;
  }
}

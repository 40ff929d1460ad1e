import { randomBytes } from "node:crypto";
import type { Configuration } from "../node/configuration-schema.ts";
import { type ClosableLog, createLog } from "../node/log.ts";
import { MaculaNode, type MaculaNodeOptions } from "../node/macula-node.ts";
import { withFoundCookie } from "./cookie.ts";
import { usageFailure } from "./failure.ts";
import { note } from "./output.ts";

export interface StartedNode {
  readonly node: MaculaNode;
  readonly log: ClosableLog;
}

/** Starts the node that `configuration` describes, with a log on standard error. What processes print goes to standard output. */
export async function startNode(
  configuration: Configuration,
  name: string,
  options: Pick<MaculaNodeOptions, "onBeamIdle"> = {},
): Promise<StartedNode> {
  const { configuration: found, generated } = await withFoundCookie(configuration);
  if (generated) {
    note(
      configuration.stateDir === null
        ? "warning: no cookie was given and none is kept: no other node can know this one's (--cookie-file, or MACULA_COOKIE)"
        : `a cookie was generated for the realm ${configuration.realm}: other machines need it too (macula cookie)`,
    );
  }
  const log = createLog(configuration.log);
  const node = await MaculaNode.start({
    ...found,
    name,
    logger: log,
    print: (text: string) => void process.stdout.write(text),
    ...options,
  });
  return { node, log };
}

/**
 * A node for one command: in the realm of `configuration`, with a name of its own, a free port and an identity that is
 * kept nowhere.
 * @throws Failure when the configuration has one identity only, that of the node itself: two nodes cannot share it.
 */
export async function startShortLivedNode(configuration: Configuration): Promise<StartedNode> {
  const name = `command-${randomBytes(4).toString("hex")}@localhost:0`;
  if (configuration.certificateFile !== undefined) {
    throw usageFailure(
      "with certificateFile there is one node, which must be running for a command to go through it: macula start",
    );
  }
  const { configuration: found } = await withFoundCookie(configuration);
  const log = createLog({ ...configuration.log, level: quieter(configuration.log.level) });
  const node = await MaculaNode.start({
    ...found,
    name,
    stateDir: null,
    port: 0,
    // It is nobody whom an Erlang node would want to find.
    epmd: false,
    // And it wants to find nobody but the node it is for.
    bootstrap: [],
    discovery: { mdns: false, dnsDomain: null },
    exports: [],
    logger: log,
  });
  return { node, log };
}

/** The comings and goings of such a node are of no interest unless asked for. */
function quieter(level: Configuration["log"]["level"]): Configuration["log"]["level"] {
  return level === "info" ? "error" : level;
}

import { format } from "../etf/index.ts";
import type { ProcessOutput } from "../process/index.ts";
import type { MembershipNews } from "../swim/index.ts";
import type { BeamNews } from "./beam/types.ts";
import type { ErlangNews } from "./erlang/types.ts";
import type { LinkNews } from "./links/index.ts";
import type { Log } from "./log.ts";

/** How news of the links reads in the log. */
export function logLinkNews(log: Log, news: LinkNews): void {
  switch (news.type) {
    case "sessionUp":
      log.info({ node: news.name, nodeId: news.nodeId }, "node.up");
      break;
    case "sessionDown":
      log.info({ node: news.name, nodeId: news.nodeId, reason: news.reason }, "node.down");
      break;
    case "up":
      log.info({ node: news.name, nodeId: news.nodeId, address: news.address }, "link.up");
      break;
    case "down":
      log.info(
        { node: news.name, nodeId: news.nodeId, code: news.ending.code, reason: news.ending.reason },
        "link.down",
      );
      break;
    case "unreachable":
      log.warn({ node: news.name, code: news.error.code, error: news.error.message }, "link.unreachable");
      break;
    case "refused":
      log.warn(
        { address: news.address, nodeId: news.nodeId, code: news.ending.code, reason: news.ending.reason },
        "link.refused",
      );
      break;
    default:
      news satisfies never;
  }
}

/** How news of the members reads in the log. */
export function logMembershipNews(log: Log, { type, member }: MembershipNews): void {
  const { name, id, address, state } = member;
  const level = type === "memberChanged" || type === "memberSuspect" ? "debug" : "info";
  log[level]({ node: name, nodeId: id, address, state }, `member.${type.slice(6).toLowerCase()}`);
}

/** How news of the distribution reads in the log. */
export function logErlangNews(log: Log, news: ErlangNews): void {
  switch (news.type) {
    case "up":
      log.info({ node: news.name, address: news.address }, "erlang.up");
      break;
    case "down":
      log.info({ node: news.name, code: news.error.code, reason: news.error.message }, "erlang.down");
      break;
    case "unreachable":
      log.warn({ node: news.name, code: news.error.code, error: news.error.message }, "erlang.unreachable");
      break;
    case "refused":
      log.warn(
        { node: news.name, address: news.address, code: news.error.code, reason: news.error.message },
        "erlang.refused",
      );
      break;
    default:
      news satisfies never;
  }
}

/** How news of BEAM nodes reads in the log. */
export function logBeamNews(log: Log, news: BeamNews): void {
  switch (news.type) {
    case "attached":
    case "detached":
      log.info({ node: news.node }, `beam.${news.type}`);
      break;
    case "connected":
      log.info({ node: news.node, from: news.from, address: news.address }, "beam.connected");
      break;
    case "refused":
      log.warn({ node: news.node, from: news.from, error: news.error.message }, "beam.refused");
      break;
    case "garbage":
      log.warn({ error: news.error.message }, "beam.garbage");
      break;
    default:
      news satisfies never;
  }
}

/** A process threw: what Erlang's error logger would say. */
export function logCrash(log: Log, crash: Extract<ProcessOutput, { type: "crash" }>): void {
  const { pid, name, reason } = crash;
  log.error({ pid: pid.toString(), name, reason: format(reason) }, "process.crash");
}

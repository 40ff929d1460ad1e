import type { LogEntry, LogEvent } from "./options.ts";

const words: Record<LogEvent, string> = {
  started: "started",
  crashed: "CRASHED",
  stopped: "stopped",
  paused: "PAUSED",
  resumed: "resumed",
  moved: "moved to",
  sent: "→",
  lost: "✗ lost →",
  received: "←",
  linkUp: "link up with",
  linkDown: "link down with",
  linkFailed: "could not reach",
  news: "*",
  network: "NETWORK",
};

/** One line for people: time in seconds, node, what happened, with whom. */
export function formatLogEntry(entry: LogEntry): string {
  const time = (entry.atMs / 1_000).toFixed(6).padStart(13);
  const parts = [words[entry.event], entry.peer ?? "", entry.detail ?? ""].filter((part) => part !== "");
  return `${time}  ${entry.node.padEnd(6)} ${parts.join(" ")}`;
}

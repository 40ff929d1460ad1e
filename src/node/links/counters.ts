import type { CloseCodeName } from "../../link/index.ts";

/** What has happened since the start; numbers only grow. */
export interface LinkCounters {
  framesIn: number;
  framesOut: number;
  dials: number;
  dialsFailed: number;
  linksUp: number;
  linksDown: number;
  /** Connections and links that ended other than in order, by close code. */
  readonly endings: Partial<Record<CloseCodeName, number>>;
  /** Signals thrown away because their node was not reached, or they were sent to a link that was ending, bytes. */
  droppedBytes: number;
  /** SESSION frames, and messages of channels, that are not what their format says. */
  malformedSessions: number;
}

export function newLinkCounters(): LinkCounters {
  return {
    framesIn: 0,
    framesOut: 0,
    dials: 0,
    dialsFailed: 0,
    linksUp: 0,
    linksDown: 0,
    endings: {},
    droppedBytes: 0,
    malformedSessions: 0,
  };
}

export function countEnding(counters: LinkCounters, code: CloseCodeName): void {
  counters.endings[code] = (counters.endings[code] ?? 0) + 1;
}

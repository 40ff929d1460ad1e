import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { boundedLog, createLog, type LogOptions } from "../../src/node/log.ts";
import { prettyLine, printable } from "../../src/node/log-pretty.ts";

function collect(options: LogOptions = {}) {
  const lines: string[] = [];
  const log = createLog({
    format: "json",
    ...options,
    stream: { write: (line: string) => void lines.push(line) },
  });
  return { log, lines, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("lines", () => {
  test("one JSON object a line: level, time, event, fields", () => {
    const { log, records } = collect();
    log.info({ peer: "node2@localhost:4434", rttMs: 0.5 }, "link.up");
    expect(records()).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        event: "link.up",
        peer: "node2@localhost:4434",
        rttMs: 0.5,
      },
    ]);
  });

  test("the level decides what is written", () => {
    const { log, records } = collect({ level: "warn" });
    log.debug({}, "a");
    log.info({}, "b");
    log.warn({}, "c");
    log.error({}, "d");
    expect(records().map(({ event }) => event)).toEqual(["c", "d"]);
  });

  test("secrets that slip in are not shown", () => {
    const { log, lines } = collect();
    log.info({ cookie: "hush", options: { cookie: "hush", privateKey: "hush" } }, "node.up");
    expect(lines.join()).not.toContain("hush");
  });
});

describe("bounded per event and second", () => {
  test("a flood is cut, counted and reported once the second is over", () => {
    const { log, records } = collect({ eventsPerSecondMax: 3 });
    for (let count = 0; count < 1_000; count++) log.warn({ count }, "link.refused");
    log.info({}, "link.up");
    expect(records().map(({ event }) => event)).toEqual([
      "link.refused",
      "link.refused",
      "link.refused",
      "link.up",
    ]);
    vi.advanceTimersByTime(1_000);
    expect(records().at(-1)).toMatchObject({
      level: "warn",
      event: "log.suppressed",
      of: "link.refused",
      suppressed: 997,
    });
    log.warn({}, "link.refused");
    expect(records().at(-1)).toMatchObject({ event: "link.refused" });
  });

  test("what the level hides is not counted", () => {
    const { log, lines } = collect({ eventsPerSecondMax: 1 });
    for (let count = 0; count < 10; count++) log.debug({}, "noise");
    vi.advanceTimersByTime(1_000);
    expect(lines).toEqual([]);
  });

  test("close reports what was suppressed and leaves no timer", () => {
    const { log, records } = collect({ eventsPerSecondMax: 1 });
    log.info({}, "a");
    log.info({}, "a");
    log.close();
    log.close();
    expect(records().map(({ event }) => event)).toEqual(["a", "log.suppressed"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("any object with the four methods will do", () => {
    const events: string[] = [];
    const write = (_: unknown, event: string): void => void events.push(event);
    boundedLog({ debug: write, info: write, warn: write, error: write }, { eventsPerSecondMax: 5 }).error(
      {},
      "x",
    );
    expect(events).toEqual(["x"]);
  });
});

describe("pretty form", () => {
  const line = JSON.stringify({
    level: "warn",
    time: "2026-11-23T12:00:00.120Z",
    event: "link.refused",
    peer: "a@b:1",
    why: "wrong realm",
    count: 2,
  });
  test("time, level, event, fields", () => {
    expect(prettyLine(line, false)).toMatch(
      /^\d\d:\d\d:00\.120 warn {2}link\.refused peer=a@b:1 why="wrong realm" count=2\n$/,
    );
  });
  test("coloured on a terminal", () => expect(prettyLine(line, true)).toContain("\u001B[33mwarn"));
  test("a peer's text cannot drive the terminal", () => {
    expect(printable("\u001B[2Jgone\r\n\u202E")).toBe("\\u001b[2Jgone\\u000d\\u000a\\u202e");
    const hostile = JSON.stringify({ level: "info", time: "x", event: "\u001B[2J", a: "\u009B2J" });
    // oxlint-disable-next-line no-control-regex
    expect(prettyLine(hostile, false)).not.toMatch(/[\u001B\u009B]/);
  });
  test("a line that is no JSON passes", () => expect(prettyLine("plain\n", false)).toBe("plain\n"));
});

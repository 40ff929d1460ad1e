import { type DestinationStream, destination, pino } from "pino";
import type { Configuration } from "./configuration-schema.ts";
import { prettyLine } from "./log-pretty.ts";

/** The fields of a log line: numbers, text, small objects. Never a secret. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where a node writes what happens. A pino logger is one; so is any object with these four methods.
 * `event` is a stable name such as `link.up`, for programs to search for; all that varies is in the fields.
 */
export interface Log {
  debug(fields: LogFields, event: string): void;
  info(fields: LogFields, event: string): void;
  warn(fields: LogFields, event: string): void;
  error(fields: LogFields, event: string): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

const ignore = (): void => {};

/** Says nothing: the default of the API, because a library does not write to its user's terminal unasked. */
export const silentLog: Log = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/** Bytes of log lines kept while standard error does not take them. Beyond that lines are dropped: a log must not stop or fill a node. */
const unwrittenBytesMax = 4 * 1_048_576;

export interface LogOptions {
  /** Least severe level written. Default `info`. */
  readonly level?: Configuration["log"]["level"];
  /** Default `auto`: `pretty` when standard error is a terminal, else `json`. */
  readonly format?: Configuration["log"]["format"];
  /** Lines of one event in one second. Default 20. */
  readonly eventsPerSecondMax?: number;
  /** Where the lines go. Default: standard error. */
  readonly stream?: DestinationStream;
}

export interface ClosableLog extends Log {
  /** Writes what is queued. Idempotent. */
  close(): void;
}

/** A log of structured lines: pino on standard error, bounded per event and second. */
export function createLog(options: LogOptions = {}): ClosableLog {
  const format = options.format ?? "auto";
  const pretty = format === "pretty" || (format === "auto" && process.stderr.isTTY);
  const { stream, flush } =
    options.stream === undefined ? standardError() : { stream: options.stream, flush: ignore };
  const target = pretty
    ? { write: (line: string) => stream.write(prettyLine(line, process.stderr.isTTY)) }
    : stream;
  const logger = pino(
    {
      level: options.level ?? "info",
      messageKey: "event",
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // A second line of defence: nobody logs these, and if somebody does by mistake, nobody reads them.
      redact: { paths: ["cookie", "*.cookie", "privateKey", "*.privateKey"], censor: "(not shown)" },
    },
    target,
  );
  return boundedLog(logger, {
    eventsPerSecondMax: options.eventsPerSecondMax ?? 20,
    enabled: (level) => logger.isLevelEnabled(level),
    flush,
  });
}

function standardError(): { stream: DestinationStream; flush: () => void } {
  // Asynchronous: a terminal that is stopped, or a collector that hangs, must not stop the node with it.
  const stream = destination({ fd: 2, sync: false, maxLength: unwrittenBytesMax });
  stream.on("error", (error: NodeJS.ErrnoException) => {
    // The terminal was closed, or the reader of our log has gone: there is nobody left to tell, and it must not end the
    // process. Nor keep it: what is not destroyed is written again at exit, for ever where writing always fails.
    if (error.code === "EIO" || error.code === "EPIPE") stream.destroy();
  });
  return {
    stream,
    // Not `flushSync`, which tries for ever. What is queued is written before the process ends by itself.
    flush: () => {
      try {
        stream.end();
      } catch {
        // Destroyed, as above.
      }
    },
  };
}

export interface BoundedLogOptions {
  /** Lines of one event in one second, > 0. */
  readonly eventsPerSecondMax: number;
  /** Whether lines of this level are written at all: what is not written is not counted. Default: all are. */
  readonly enabled?: (level: LogLevel) => boolean;
  /** Writes what is queued. Default: nothing is. */
  readonly flush?: () => void;
}

const windowMs = 1_000;

/**
 * Passes on `eventsPerSecondMax` lines of each event in a second, then counts, and reports the count as `log.suppressed`
 * when the second is over. A peer that provokes refusals as fast as it can then costs a few lines a second.
 */
export function boundedLog(log: Log, options: BoundedLogOptions): ClosableLog {
  let counts = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  const endWindow = (): void => {
    clearTimeout(timer);
    timer = undefined;
    const over = counts;
    counts = new Map();
    for (const [event, count] of over) {
      const suppressed = count - options.eventsPerSecondMax;
      if (suppressed > 0) log.warn({ suppressed, of: event }, "log.suppressed");
    }
  };
  const writer =
    (level: LogLevel) =>
    (fields: LogFields, event: string): void => {
      if (options.enabled?.(level) === false) return;
      const count = (counts.get(event) ?? 0) + 1;
      counts.set(event, count);
      timer ??= setTimeout(endWindow, windowMs).unref();
      if (count <= options.eventsPerSecondMax) log[level](fields, event);
    };
  return {
    debug: writer("debug"),
    info: writer("info"),
    warn: writer("warn"),
    error: writer("error"),
    close: () => {
      endWindow();
      options.flush?.();
    },
  };
}

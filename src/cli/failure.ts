import { MeshError, type MeshErrorCode } from "../base/errors.ts";

/** 0 it worked, 1 it failed, 2 the command was not understood. */
export const exitCode = { ok: 0, failed: 1, usage: 2 } as const;

/** The end of a command, as one sentence that says what to do. */
export class Failure extends Error {
  override readonly name = "Failure";
  readonly exitCode: number;

  constructor(message: string, code: number = exitCode.failed, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = code;
  }
}

/** A command that was not given what it needs. */
export function usageFailure(message: string): Failure {
  return new Failure(message, exitCode.usage);
}

const hints: Partial<Record<MeshErrorCode, string>> = {
  REFUSED: "is the node started there, and the port right?",
  TIMEOUT:
    "is the node running, does a firewall let UDP through, does the function take longer than --timeout-ms?",
  PEER_UNREACHABLE: "is the node started, and its host name right?",
  WRONG_REALM: "both nodes need the same --realm and the same cookie (`macula cookie` shows it) or authority",
  WRONG_NODE: "use the name that the node was started with",
  CERTIFICATE_EXPIRED: "compare the clocks of the two machines",
  NAME_TAKEN: "choose another --name, or stop the other node",
  NOT_EXPORTED: "the node must be started with `--exports MODULE.js`",
};

export interface Described {
  readonly code: string;
  readonly message: string;
  readonly exitCode: number;
  /** Set when it is a bug of ours rather than something the user can do about. */
  readonly stack?: string;
}

function hintFor({ code, message }: MeshError): string | undefined {
  // Some messages say what to do already.
  if (message.includes("`macula")) return undefined;
  if (/address already in use/i.test(message)) return "choose another port in --name, or --port 0 for any";
  return hints[code];
}

/** What went wrong, for the user. */
export function describeFailure(error: Error): Described {
  if (error instanceof Failure) {
    const code = error.exitCode === exitCode.usage ? "USAGE" : "FAILED";
    return { code, message: error.message, exitCode: error.exitCode };
  }
  if (error instanceof MeshError) {
    const hint = hintFor(error);
    return {
      code: error.code,
      message: hint === undefined ? error.message : `${error.message}: ${hint}`,
      exitCode: error.code === "CONFIGURATION" ? exitCode.usage : exitCode.failed,
    };
  }
  const { code } = error as NodeJS.ErrnoException;
  if (
    code === "EACCES" ||
    code === "EPERM" ||
    code === "ENOSPC" ||
    code === "EROFS" ||
    code === "EADDRINUSE"
  ) {
    return { code, message: error.message, exitCode: exitCode.failed };
  }
  return {
    code: "BUG",
    message: `${error.message} (this should not happen: please report it)`,
    exitCode: exitCode.failed,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  };
}

import * as z from "zod";
import { parseNodeName } from "../base/node-name.ts";
import { normalizeCookie } from "../identity/cookie.ts";
import { parseRealmName } from "../identity/realm.ts";
import { peerLanesMax } from "../link/index.ts";
import { bootstrapAddressesMax, parseBootstrapAddress, parseDnsDomain } from "./discovery/addresses.ts";

/** What is known of a setting beyond its type: the documentation and every error message come from it. */
export interface SettingFacts {
  /** What it means, one or two sentences. */
  readonly description: string;
  /** How its text in the environment or on the command line is read. */
  readonly kind: "text" | "path" | "integer" | "choice" | "paths" | "list" | "switch";
  /** What is allowed, ending the sentence "… must be". */
  readonly allowed: string;
  /** Milliseconds, bytes, …; nothing for plain numbers and text. */
  readonly unit?: string;
  /** The default in words, when the value alone does not say it. */
  readonly defaultText?: string;
  /** Never shown: not in logs, not in errors, not by `macula config`. */
  readonly secret?: true;
  /** The word that stands for `null` in the environment and on the command line. */
  readonly nullWord?: string;
  /** Its name on the command line, where that of the key would be long-winded. */
  readonly flagName?: string;
}

/** Facts by schema: every leaf of `configurationSchema` is in it. */
export const settingFacts = z.registry<SettingFacts>();

interface IntegerFacts {
  readonly description: string;
  readonly min: number;
  readonly max: number;
  readonly default: number;
  readonly unit?: string;
}

function integer({ description, min, max, default: value, unit }: IntegerFacts) {
  return z
    .int()
    .min(min)
    .max(max)
    .default(value)
    .register(settingFacts, {
      description,
      kind: "integer",
      allowed: `${min}–${max}`,
      ...(unit === undefined ? {} : { unit }),
    });
}

/** Whether `parse` takes `text`: what is allowed is decided where the value is used. */
function isValid(parse: (text: string) => unknown, text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

const logLevels = ["trace", "debug", "info", "warn", "error", "silent"] as const;
const logFormats = ["auto", "json", "pretty"] as const;

const logSchema = z.strictObject({
  level: z
    .enum(logLevels)
    .default("info")
    .register(settingFacts, {
      description: "Least severe log lines to write.",
      kind: "choice",
      allowed: `one of ${logLevels.join(", ")}`,
    }),
  format: z
    .enum(logFormats)
    .default("auto")
    .register(settingFacts, {
      description:
        "`json` writes one JSON object a line, `pretty` lines for people, `auto` pretty on a terminal.",
      kind: "choice",
      allowed: `one of ${logFormats.join(", ")}`,
    }),
  eventsPerSecondMax: integer({
    description:
      "Log lines of one event in one second; more are counted and reported as `log.suppressed`, so that a flood of refusals cannot fill a disk.",
    min: 1,
    max: 1_000_000,
    default: 20,
  }),
});

// The keys of these two groups are the option names of `src/link/options.ts` and `src/process/options.ts`, to which they
// are passed as they are. Where one bound must not be below another, their ranges do not overlap.

const linksSchema = z.strictObject({
  linksMax: integer({
    description: "Links to other nodes at the same time; further ones are refused.",
    min: 1,
    max: 100_000,
    default: 4_096,
  }),
  lanesMax: integer({
    description:
      "Streams this node opens per link for the signals of its processes. More of them: a stalled receiver holds up fewer others.",
    min: 2,
    max: peerLanesMax,
    default: peerLanesMax,
  }),
  handshakeTimeoutMs: integer({
    description: "A link whose handshake takes longer is closed.",
    min: 100,
    max: 60_000,
    default: 5_000,
    unit: "milliseconds",
  }),
  dialTimeoutMs: integer({
    description: "Time for one attempt to reach a node, from name resolution to the proven peer.",
    min: 100,
    max: 120_000,
    default: 7_000,
    unit: "milliseconds",
  }),
  heartbeatIntervalMs: integer({
    description: "Gap between heartbeats on a link.",
    min: 100,
    max: 60_000,
    default: 2_500,
    unit: "milliseconds",
  }),
  heartbeatMissesMax: integer({
    description: "Heartbeats in a row without a sign of life after which a peer counts as lost (`nodedown`).",
    min: 1,
    max: 100,
    default: 3,
  }),
  backoffBaseMs: integer({
    description: "Wait before the second attempt in a row to reach a node; it doubles each time.",
    min: 10,
    max: 1_000,
    default: 100,
    unit: "milliseconds",
  }),
  backoffMaxMs: integer({
    description: "Longest wait between two attempts to reach a node.",
    min: 1_000,
    max: 600_000,
    default: 5_000,
    unit: "milliseconds",
  }),
  dialsMax: integer({
    description: "Nodes being dialled at the same time; further ones wait their turn.",
    min: 1,
    max: 10_000,
    default: 64,
  }),
  inboundMax: integer({
    description: "Incoming links in their handshake at the same time; further ones are refused.",
    min: 1,
    max: 100_000,
    default: 256,
  }),
  inboundPerAddressMax: integer({
    description: "The same for one address.",
    min: 1,
    max: 100_000,
    default: 64,
  }),
  laneHighWaterBytes: integer({
    description: "Bytes waiting in one lane from which `send` answers false: the sender should wait.",
    min: 65_536,
    max: 33_554_432,
    default: 1_048_576,
    unit: "bytes",
  }),
  laneQueueBytesMax: integer({
    description: "Bytes waiting in one lane at which `send` throws `LIMIT`.",
    min: 33_554_432,
    max: 1_073_741_824,
    default: 67_108_864,
    unit: "bytes",
  }),
});

const processesSchema = z.strictObject({
  processesMax: integer({
    description: "Live processes; `spawn` throws `LIMIT` beyond.",
    min: 100,
    max: 100_000_000,
    default: 1_000_000,
  }),
  mailboxHighWater: integer({
    description: "Messages in a mailbox from which senders are held back.",
    min: 1,
    max: 100_000,
    default: 10_000,
    unit: "messages",
  }),
  mailboxMax: integer({
    description: "Messages in a mailbox beyond which the process exits with {system_limit, mailbox}.",
    min: 100_000,
    max: 100_000_000,
    default: 1_000_000,
    unit: "messages",
  }),
  callsPerNodeMax: integer({
    description: "Calls (`rpc`) of one other node at work here; further ones fail with `LIMIT` there.",
    min: 1,
    max: 1_000_000,
    default: 1_000,
  }),
  spawnsPerNodeMax: integer({
    description: "Live processes spawned here by one other node; further spawns fail with `LIMIT` there.",
    min: 1,
    max: 10_000_000,
    default: 100_000,
  }),
});

const beamAttach = ["on", "off"] as const;

const beamSchema = z.strictObject({
  attach: z
    .enum(beamAttach)
    .default("on")
    .register(settingFacts, {
      description:
        "Whether Erlang and Elixir nodes of this machine and user whose names carry this node's port may attach to it (`macula beam`). Needs a `stateDir`.",
      kind: "choice",
      allowed: `one of ${beamAttach.join(", ")}`,
    }),
  lingerMs: integer({
    description:
      "A node that was started for BEAM nodes ends after so long without any. Nodes started with `macula start` do not.",
    min: 0,
    max: 86_400_000,
    default: 30_000,
    unit: "milliseconds",
  }),
});

const discoverySchema = z.strictObject({
  mdns: z.boolean().default(true).register(settingFacts, {
    description:
      "Whether this node makes itself known on the local network by multicast DNS, and looks for nodes of its realm there.",
    kind: "switch",
    allowed: "true or false",
    flagName: "mdns",
  }),
  dnsDomain: z
    .string()
    .refine((text) => isValid(parseDnsDomain, text))
    .nullable()
    .default(null)
    .register(settingFacts, {
      description:
        "A domain whose SRV records `_macula._udp.<domain>` name nodes of the realm. `null` (in the environment and on the command line: `none`) asks for none.",
      kind: "text",
      allowed: "a domain name, as in example.org, or none",
      defaultText: "none",
      nullWord: "none",
      flagName: "dns-domain",
    }),
});

/**
 * Every setting of a node. The configuration file, the environment, the command line and the API all go through this
 * one schema; names of variables (`MACULA_LOG_LEVEL`) and flags (`--log-level`) are derived from its keys.
 */
export const configurationSchema = z.strictObject({
  name: z
    .string()
    .refine((text) => isValid(parseNodeName, text))
    .optional()
    .register(settingFacts, {
      description: "The node's name; the host and port in it are where other nodes find it.",
      kind: "text",
      allowed: "name@host:port, as in node1@localhost:4433 (without a port it means 4433)",
    }),
  realm: z
    .string()
    .refine((text) => isValid(parseRealmName, text))
    .default("default")
    .register(settingFacts, {
      description: "The trust domain. Only nodes of the same realm talk to each other.",
      kind: "text",
      allowed: "1–63 letters, digits, dots, dashes or underscores, beginning with a letter or digit",
    }),
  cookie: z
    .string()
    .refine((text) => isValid(normalizeCookie, text))
    .optional()
    .register(settingFacts, {
      description:
        "The secret that the nodes of a realm share. Better kept in a file than here: `cookieFile`, or what `macula cookie` shows.",
      kind: "text",
      allowed: "1–1024 bytes of text without line ends and other control characters",
      defaultText: "the cookie kept in `stateDir`, generated on first use",
      secret: true,
    }),
  cookieFile: z.string().min(1).optional().register(settingFacts, {
    description: "A file that holds the cookie, readable by its owner only (chmod 600).",
    kind: "path",
    allowed: "the path of a file",
  }),
  authorityFile: z.string().min(1).optional().register(settingFacts, {
    description:
      "A file with the certificates (PEM) of an authority of your own, which takes the place of the cookie. Needs `authorityKeyFile`, or `certificateFile` and `keyFile`.",
    kind: "path",
    allowed: "the path of a file",
  }),
  authorityKeyFile: z.string().min(1).optional().register(settingFacts, {
    description:
      "A file with the authority's key (PEM), readable by its owner only (chmod 600): the node certifies itself.",
    kind: "path",
    allowed: "the path of a file",
  }),
  certificateFile: z.string().min(1).optional().register(settingFacts, {
    description:
      "A file with the node's certificate (PEM), made by the authority beforehand, and those above it. A new one put there in time is taken without a restart.",
    kind: "path",
    allowed: "the path of a file",
  }),
  keyFile: z.string().min(1).optional().register(settingFacts, {
    description:
      "A file with the key (PEM) that belongs to `certificateFile`, readable by its owner only (chmod 600).",
    kind: "path",
    allowed: "the path of a file",
  }),
  stateDir: z.string().min(1).nullable().optional().register(settingFacts, {
    description:
      "Folder for keys, certificates, cookie and the admin socket, readable by its owner only. `null` (in the environment and on the command line: `none`) keeps everything in memory.",
    kind: "path",
    allowed: "the path of a folder, or none",
    defaultText: "`$MACULA_HOME`, else `~/.macula`",
    nullWord: "none",
  }),
  host: z
    .string()
    .regex(/^[A-Za-z0-9_.:%-]+$/)
    .default("::")
    .register(settingFacts, {
      description: "Address to listen on. `::` means every address of the machine, IPv4 and IPv6.",
      kind: "text",
      allowed: "an IP address or a host name of this machine",
    }),
  port: z.int().min(0).max(65_535).optional().register(settingFacts, {
    description: "UDP port to listen on; 0 picks a free one.",
    kind: "integer",
    allowed: "0–65535",
    defaultText: "the port in `name`",
  }),
  epmd: z.boolean().default(false).register(settingFacts, {
    description:
      "Talk with stock Erlang nodes: register this node, as the part of its name before the port, at this machine's epmd, listen on a TCP port, and find nodes by their names without a port. The protocol is not encrypted.",
    kind: "switch",
    allowed: "true or false",
  }),
  erlangHost: z
    .string()
    .regex(/^[A-Za-z0-9_.:%-]+$/)
    .optional()
    .register(settingFacts, {
      description:
        "With `epmd`: address to listen on for stock Erlang nodes. For nodes of other machines, in networks you trust, `::` means every address.",
      kind: "text",
      allowed: "an IP address or a host name of this machine",
      defaultText: "a loopback address: what the host in `name` stands for if it is one, else 127.0.0.1",
    }),
  erlangCookie: z
    .string()
    .regex(/^[ -~]{1,255}$/)
    .optional()
    .register(settingFacts, {
      description: "The cookie that Erlang nodes and this node prove to each other. It encrypts nothing.",
      kind: "text",
      allowed: "1–255 printable ASCII characters",
      defaultText: "what is in `~/.erlang.cookie`, generated on first use",
      secret: true,
    }),
  bootstrap: z
    .array(z.string().refine((text) => isValid(parseBootstrapAddress, text)))
    .max(bootstrapAddressesMax)
    .default([])
    .register(settingFacts, {
      description:
        "Nodes through which this one finds all others. Each is tried until it is reached, and again when it is lost.",
      kind: "list",
      allowed: `up to ${bootstrapAddressesMax} of name@host:port or host:port, as in node1@localhost:4433 (without a port it means 4433)`,
      defaultText: "none",
    }),
  discovery: discoverySchema.prefault({}),
  exports: z.array(z.string().min(1)).default([]).register(settingFacts, {
    description:
      "ES modules whose functions other nodes may call (`macula rpc`) and spawn. A module is exported under its file name without the extension.",
    kind: "paths",
    allowed: "paths of ES modules (.js or .mjs)",
    defaultText: "none",
  }),
  log: logSchema.prefault({}),
  links: linksSchema.prefault({}),
  processes: processesSchema.prefault({}),
  beam: beamSchema.prefault({}),
});

/** A complete configuration: every setting has its value. */
export type Configuration = z.output<typeof configurationSchema> & { readonly stateDir: string | null };
/** What may be given: any part of it. */
export type ConfigurationInput = z.input<typeof configurationSchema>;

/** One setting with all the names it goes by. */
export interface Setting extends SettingFacts {
  /** Where it is in the configuration: `["log", "level"]`. */
  readonly path: readonly [string] | readonly [string, string];
  /** `log.level` */
  readonly key: string;
  /** `MACULA_LOG_LEVEL` */
  readonly variable: string;
  /** `--log-level`; `--no-mdns` of a switch that is on by default. */
  readonly flag: string;
  readonly schema: z.ZodType;
  /** What holds when nobody sets it; `undefined` when the default is not a plain value. */
  readonly default: unknown;
}

function dashed(path: readonly string[]): string {
  return path.map((part) => part.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join("-");
}

function describeSetting(path: Setting["path"], schema: z.ZodType): Setting {
  const facts = settingFacts.get(schema);
  if (facts === undefined) throw new Error(`the setting ${path.join(".")} has no description`);
  const name = dashed(path);
  const byDefault: unknown = schema.safeParse(undefined).data;
  // A switch that is on can only be turned off.
  const prefix = facts.kind === "switch" && byDefault === true ? "--no-" : "--";
  return {
    ...facts,
    path,
    schema,
    key: path.join("."),
    variable: `MACULA_${name.replaceAll("-", "_").toUpperCase()}`,
    flag: `${prefix}${facts.flagName ?? name}`,
    default: byDefault,
  };
}

/** All settings, in the order of the schema. */
export const settings: readonly Setting[] = Object.entries(configurationSchema.shape).flatMap(
  ([key, schema]): Setting[] => {
    const group = schema instanceof z.ZodPrefault ? schema.unwrap() : undefined;
    if (!(group instanceof z.ZodObject)) return [describeSetting([key], schema)];
    return Object.entries(group.shape).map(([inner, leaf]) =>
      describeSetting([key, inner], leaf as z.ZodType),
    );
  },
);

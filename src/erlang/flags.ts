/*
 * What a node can do, as 64 bits of the handshake (kernel/include/dist.hrl, "Distribution protocol", §"Distribution
 * flags"). A node offers what it can read; what it may write is what both offer.
 */

interface Capability {
  readonly name: string;
  readonly bit: bigint;
  /** Whether we offer it. */
  readonly offered: boolean;
  /** Whether we refuse a peer without it. */
  readonly required: boolean;
}

function capability(name: string, bit: bigint, use: "required" | "offered" | "unused"): Capability {
  return { name, bit, offered: use !== "unused", required: use === "required" };
}

/**
 * Required is what every OTP from 25 on offers and we write: so there is one form of each message, and no guessing what
 * a peer whose flags are not known yet will understand.
 */
export const capabilities: readonly Capability[] = [
  // Visible in `nodes()`; a hidden peer leaves it out.
  capability("PUBLISHED", 0x01n, "offered"),
  // The atom caches need state on both sides for a few saved bytes.
  capability("ATOM_CACHE", 0x02n, "unused"),
  capability("EXTENDED_REFERENCES", 0x04n, "required"),
  capability("DIST_MONITOR", 0x08n, "required"),
  capability("FUN_TAGS", 0x10n, "required"),
  capability("DIST_MONITOR_NAME", 0x20n, "required"),
  capability("HIDDEN_ATOM_CACHE", 0x40n, "unused"),
  capability("NEW_FUN_TAGS", 0x80n, "required"),
  capability("EXTENDED_PIDS_PORTS", 0x100n, "required"),
  capability("EXPORT_PTR_TAG", 0x200n, "required"),
  capability("BIT_BINARIES", 0x400n, "required"),
  capability("NEW_FLOATS", 0x800n, "required"),
  // Text for our group leader may be Unicode.
  capability("UNICODE_IO", 0x1000n, "offered"),
  // Without it messages pass through as plain terms: no cache to fill, no header with references into it.
  capability("DIST_HDR_ATOM_CACHE", 0x2000n, "unused"),
  capability("SMALL_ATOM_TAGS", 0x4000n, "offered"),
  capability("UTF8_ATOMS", 0x1_0000n, "required"),
  capability("MAP_TAG", 0x2_0000n, "required"),
  capability("BIG_CREATION", 0x4_0000n, "required"),
  capability("SEND_SENDER", 0x8_0000n, "required"),
  // We ignore trace tokens, whatever is in them.
  capability("BIG_SEQTRACE_LABELS", 0x10_0000n, "offered"),
  // Reasons travel behind the control message, so that it stays short.
  capability("EXIT_PAYLOAD", 0x40_0000n, "required"),
  // Comes with DIST_HDR_ATOM_CACHE only. A long message of a peer goes out whole then, as before OTP 22.
  capability("FRAGMENTS", 0x80_0000n, "unused"),
  capability("HANDSHAKE_23", 0x100_0000n, "required"),
  capability("UNLINK_ID", 0x200_0000n, "required"),
  // Stands for all that OTP 25 made mandatory.
  capability("MANDATORY_25_DIGEST", 0x400_0000n, "offered"),
  capability("SPAWN", 0x1_0000_0000n, "required"),
  // Asks for a name. We have one; a listener that gives one repeats it.
  capability("NAME_ME", 0x2_0000_0000n, "unused"),
  capability("V4_NC", 0x4_0000_0000n, "required"),
  capability("ALIAS", 0x8_0000_0000n, "required"),
];

function bitsOf(wanted: (one: Capability) => boolean): bigint {
  return capabilities.filter(wanted).reduce((bits, { bit }) => bits | bit, 0n);
}

/** What this node offers. */
export const offeredFlags = bitsOf(({ offered }) => offered);

const requiredFlags = bitsOf(({ required }) => required);
const digest25 = 0x400_0000n;
/** What MANDATORY_25_DIGEST stands for. */
const mandatory25 =
  0x04n | 0x10n | 0x80n | 0x100n | 0x200n | 0x400n | 0x800n | 0x1_0000n | 0x2_0000n | 0x4_0000n | 0x100_0000n;

/** Names of the required capabilities that a peer with these flags does not have. */
export function missingCapabilities(flags: bigint): string[] {
  const expanded = (flags & digest25) === 0n ? flags : flags | mandatory25;
  const missing = requiredFlags & ~expanded;
  return capabilities.filter(({ bit }) => (missing & bit) !== 0n).map(({ name }) => name);
}

const nameMe = 0x2_0000_0000n;

/** Whether the peer has no name and asks for one. */
export function asksForName(flags: bigint): boolean {
  return (flags & nameMe) !== 0n;
}

/** What this node offers to a peer with these flags. */
export function flagsFor(peer: bigint): bigint {
  return offeredFlags | (peer & nameMe);
}

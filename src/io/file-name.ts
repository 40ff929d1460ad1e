import { sha256 } from "./crypto.ts";

/** Names that Windows keeps for devices, whatever follows the dot. */
const deviceName = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/;

/** Bytes of a file name that leave room for endings below the 255 that file systems allow. */
const fileNameLengthMax = 160;

/**
 * A name as a file name, on every system: a different one for each name also where upper and lower case are the same,
 * never leading out of the folder, never hidden. Capitals and what is neither letter, digit, `@`, `_`, `-` nor an inner
 * dot are escaped as in a URL; what gets too long is cut and told apart by its hash.
 */
export function fileName(name: string): string {
  const bytes = Buffer.from(name);
  const parts = Array.from(bytes, (byte, index) => {
    const character = String.fromCharCode(byte);
    const inner = index > 0 && index < bytes.length - 1;
    return /[a-z0-9@_-]/.test(character) || (character === "." && inner) ? character : escaped(byte);
  });
  if (deviceName.test(parts.join(""))) parts[0] = escaped(bytes[0] as number);
  const safe = parts.join("");
  if (safe === "") return "%";
  if (safe.length <= fileNameLengthMax) return safe;
  // No escape has these two characters: nothing short can be taken for it.
  return `${safe.slice(0, 120)}%x${Buffer.from(sha256(bytes)).toString("hex").slice(0, 32)}`;
}

function escaped(byte: number): string {
  return `%${byte.toString(16).padStart(2, "0")}`;
}

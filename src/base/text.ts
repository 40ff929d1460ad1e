import { MeshError } from "./errors.ts";

const encoder = new TextEncoder();
const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 of `text`; lone surrogates become U+FFFD. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/**
 * Text of UTF-8 bytes.
 * @throws MeshError `DECODE` when they are not well-formed UTF-8.
 */
export function utf8Text(bytes: Uint8Array): string {
  try {
    return strictDecoder.decode(bytes);
  } catch (cause) {
    throw new MeshError("DECODE", "not well-formed UTF-8", { cause });
  }
}

const base32Alphabet = "abcdefghijklmnopqrstuvwxyz234567";

/** Lower-case base32 without padding, RFC 4648 §6. */
export function base32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += base32Alphabet[(value >> bits) & 31];
    }
  }
  return bits === 0 ? text : text + base32Alphabet[(value << (5 - bits)) & 31];
}

/**
 * Bytes of lower-case unpadded base32, RFC 4648 §6. Only the canonical form is accepted, so that two texts never
 * name the same bytes.
 * @throws MeshError `DECODE` on any other character, length or non-zero trailing bits.
 */
export function base32Bytes(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8));
  let bits = 0;
  let value = 0;
  let length = 0;
  for (const character of text) {
    const digit = base32Alphabet.indexOf(character);
    if (digit < 0) throw new MeshError("DECODE", `${JSON.stringify(character)} is not a base32 digit`);
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes[length++] = value >> bits;
  }
  if (bits >= 5 || (value & ((1 << bits) - 1)) !== 0) throw new MeshError("DECODE", "not canonical base32");
  return bytes;
}

/** Lower-case hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

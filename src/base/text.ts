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
const base32Codes = utf8(base32Alphabet);
/** The value of each ASCII character as a digit; 255 when it is none. */
const base32Digits = new Uint8Array(128).fill(255);
for (const [digit, code] of base32Codes.entries()) base32Digits[code] = digit;

/** Lower-case base32 without padding, RFC 4648 §6. */
export function base32(bytes: Uint8Array): string {
  // Made in one go: a string that grows by each digit is a chain of strings, and node ids are made for each packet.
  const codes: number[] = [];
  let bits = 0;
  let value = 0;
  for (let index = 0; index < bytes.length; index++) {
    value = ((value << 8) | (bytes[index] as number)) & 0xfff;
    for (bits += 8; bits >= 5; ) {
      bits -= 5;
      codes.push(base32Codes[(value >> bits) & 31] as number);
    }
  }
  if (bits > 0) codes.push(base32Codes[(value << (5 - bits)) & 31] as number);
  return codes.length <= codesMax ? String.fromCharCode(...codes) : inPieces(codes);
}

/** Arguments that a call may have everywhere. */
const codesMax = 4_096;

function inPieces(codes: readonly number[]): string {
  let text = "";
  for (let start = 0; start < codes.length; start += codesMax)
    text += String.fromCharCode(...codes.slice(start, start + codesMax));
  return text;
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
  for (let index = 0; index < text.length; index++) {
    const digit = base32Digits[text.charCodeAt(index)] ?? 255;
    if (digit === 255) throw new MeshError("DECODE", `${JSON.stringify(text[index])} is not a base32 digit`);
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

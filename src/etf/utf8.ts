/** Up to here the loop below is quicker than a call into the engine's decoder. */
const shortBytes = 32;

/** Replaces what is not well-formed by U+FFFD, which costs less than the exception of a strict decoder. */
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The text of the UTF-8 bytes of `input` from `start` to `end`; `undefined` when they are not well-formed. Never by way
 * of an exception: a message may hold a million binaries that are no text.
 */
export function textOf(input: Uint8Array, start: number, end: number): string | undefined {
  if (end - start <= shortBytes) {
    const text = asciiText(input, start, end);
    if (text !== undefined) return text;
  } else if (!isUtf8(input, start, start + shortBytes) && !isUtf8(input, start, end)) {
    // Large binaries that are no text mostly show it at once.
    return undefined;
  }
  const text = decoder.decode(input.subarray(start, end));
  return text.includes("\ufffd") && !isUtf8(input, start, end) ? undefined : text;
}

/** Characters by length, to be filled in and handed to `String.fromCharCode` without allocating. */
const units = Array.from({ length: shortBytes + 1 }, (_, length) => Array.from({ length }, () => 0));

function asciiText(input: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  const collected = units[length] as number[];
  for (let index = 0; index < length; index++) {
    const unit = input[start + index] as number;
    if (unit > 127) return undefined;
    collected[index] = unit;
  }
  return String.fromCharCode.apply(null, collected);
}

/** Whether bytes are well-formed UTF-8, Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
function isUtf8(input: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const first = input[at++] as number;
    if (first < 0x80) continue;
    if (first < 0xc2 || first > 0xf4) return false;
    const more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (at + more > end) return false;
    const second = input[at] as number;
    const lowest = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    const highest = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    if (second < lowest || second > highest) return false;
    for (let index = at + 1; index < at + more; index++)
      if (((input[index] as number) & 0xc0) !== 0x80) return false;
    at += more;
  }
  return true;
}

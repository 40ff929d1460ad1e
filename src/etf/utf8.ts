import { utf8Text } from "../base/text.ts";

/** Up to here the loop below is quicker than a call into the engine's decoder. */
const shortBytes = 64;
/** Up to here text that is no UTF-8 is found without an exception: millions of them would keep the node busy. */
const checkedBytes = 256;

/** The text of the UTF-8 bytes of `input` from `start` to `end`; `undefined` when they are not well-formed. */
export function textOf(input: Uint8Array, start: number, end: number): string | undefined {
  const length = end - start;
  if (length <= shortBytes) {
    const text = asciiText(input, start, end);
    if (text !== undefined) return text;
  }
  if (length <= checkedBytes)
    return isUtf8(input, start, end) ? utf8Text(input.subarray(start, end)) : undefined;
  try {
    return utf8Text(input.subarray(start, end));
  } catch {
    return undefined;
  }
}

function asciiText(input: Uint8Array, start: number, end: number): string | undefined {
  const units: number[] = [];
  for (let index = start; index < end; index++) {
    const unit = input[index] as number;
    if (unit > 127) return undefined;
    units.push(unit);
  }
  return String.fromCharCode.apply(null, units);
}

/** Whether bytes are well-formed UTF-8, Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. */
export function isUtf8(input: Uint8Array, start: number, end: number): boolean {
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

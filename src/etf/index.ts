export { compare, equals } from "./compare.ts";
export { decode, decodeFrom } from "./decode.ts";
export { encode, encodeInto } from "./encode.ts";
export { type FormatOptions, format } from "./format.ts";
export type { DecodeOptions, EncodeOptions } from "./options.ts";
export {
  Atom,
  atom,
  BitString,
  charlist,
  ExportFun,
  Float,
  float,
  ImproperList,
  OpaqueFun,
  Pid,
  Port,
  Reference,
  type Term,
  Tuple,
  tuple,
} from "./terms.ts";
export { bytes, text } from "./text.ts";

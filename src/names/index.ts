export { type Claim, compareClaims, encodeClaim, type NameRecord, nameKey, readClaim } from "./claim.ts";
export type {
  NamesInput,
  NamesNews,
  NamesOutput,
  NamesRequest,
} from "./contract.ts";
export { Names } from "./names.ts";
export { type NamesOptions, resolveNamesOptions } from "./options.ts";

export { Members } from "./members.ts";
export { decodeLinkUse, encodeLinkUse, type LinkUse } from "./messages.ts";
export { type RingOptions, resolveRingOptions } from "./options.ts";
export { Ring, type RingInput, type RingOutput } from "./ring.ts";

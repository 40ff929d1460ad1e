export type { RememberedMember } from "./address-book.ts";
export { type MemberState, type MemberView, memberStates } from "./member.ts";
export type { MembershipNews, SwimCounters, SwimInput, SwimOutput } from "./messages.ts";
export type { SwimOptions } from "./options.ts";
export { decodePacket } from "./packet.ts";
export { RecordCache } from "./record.ts";
export { Swim } from "./swim.ts";
export { decodeSync } from "./sync-messages.ts";

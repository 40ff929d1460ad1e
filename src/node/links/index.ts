export { meshCapability } from "./connection.ts";
export { FoundAnother, Links } from "./links.ts";
export type { LinkDelivery, LinkNews, LinksSetup, LinksStats } from "./types.ts";
export type { WaitingSignal } from "./waiting.ts";

export type { LinkCounters } from "./counters.ts";
export { Links } from "./links.ts";
export type { LinkDelivery, LinkNews, LinkStats, LinksSetup, LinksStats } from "./types.ts";

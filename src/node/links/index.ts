export type { LinkCounters } from "./counters.ts";
export {
  type LinkDelivery,
  type LinkNews,
  type LinkStats,
  Links,
  type LinksSetup,
  type LinksStats,
} from "./links.ts";

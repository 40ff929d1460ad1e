export {
  type Candidate,
  Discovery,
  type DiscoverySettings,
  type DiscoverySurroundings,
} from "./discovery.ts";

export { Buckets } from "./buckets.ts";
export { Kademlia, type KademliaInput, type KademliaOutput } from "./kademlia.ts";
export { decodeMessage, encodeMessage, type KademliaMessage } from "./messages.ts";
export { type KademliaOptions, resolveKademliaOptions } from "./options.ts";
export { type Claim, type DirectoryRecord, readRecord, signRecord, supersedes } from "./record.ts";

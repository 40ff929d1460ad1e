export { decodeChannelPacket, encodeChannelPacket } from "./channel-packets.ts";
export { Channels, type ChannelsInput, type ChannelsOutput } from "./channels.ts";
export { decodeFence, encodeFence } from "./fence.ts";
export { Forwarder, type ForwarderInput, type ForwarderOutput } from "./forwarder.ts";
export { aes128Gcm, setUpReceiver, setUpSender } from "./hpke.ts";
export {
  type ChannelsOptions,
  resolveChannelsOptions,
  resolveForwarderOptions,
} from "./options.ts";
export {
  decodeFailure,
  decodePacket,
  encodeFailure,
  encodePacket,
  packetProtocol,
} from "./packet.ts";
export type { SealCrypto } from "./seal-crypto.ts";

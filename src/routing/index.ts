export { decodeChannelPacket, encodeChannelPacket } from "./channel-packets.ts";
export { Channels, type ChannelsInput, type ChannelsOutput } from "./channels.ts";
export { type Delivery, Forwarder, type ForwarderInput, type ForwarderOutput } from "./forwarder.ts";
export { aes128Gcm, setUpReceiver, setUpSender } from "./hpke.ts";
export {
  type ChannelsOptions,
  type ForwarderOptions,
  resolveChannelsOptions,
  resolveForwarderOptions,
} from "./options.ts";
export {
  decodeFailure,
  decodePacket,
  encodeFailure,
  encodePacket,
  markOf,
  packetProtocol,
} from "./packet.ts";
export { pointBytes, type SealCrypto, sealTagBytes } from "./seal-crypto.ts";

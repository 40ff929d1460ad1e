export { Channels, type ChannelsInput, type ChannelsOutput } from "./channels.ts";
export { type Delivery, Forwarder, type ForwarderInput, type ForwarderOutput } from "./forwarder.ts";
export { aes128Gcm, type SealContext, setUpReceiver, setUpSender } from "./hpke.ts";
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
  type Failure,
  type FailureReason,
  markOf,
  type Packet,
  packetProtocol,
} from "./packet.ts";
export type { EphemeralKey, SealCrypto } from "./seal-crypto.ts";

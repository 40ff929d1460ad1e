export {
  decodeAnswer,
  decodeLocalRequest,
  decodeTunnelRequest,
  encodeAccepted,
  encodeLocalRequest,
  encodeNotice,
  encodeRefusal,
  encodeRegistered,
  encodeTunnelRequest,
  type LocalRequest,
  Refusal,
  type TunnelRequest,
  tokenBytes,
  tokenText,
} from "./messages.ts";
export { beamAddress } from "./names.ts";
export { PacketReader } from "./packets.ts";

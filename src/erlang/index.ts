export { ErlangCalls, type ErlangCallsSetup } from "./calls.ts";
export { type ControlContext, decodeControl, encodeControl } from "./control.ts";
export { ErlangHandshake, type ErlangPeer, type HandshakeOutput } from "./handshake.ts";
export { handshakePacketMax } from "./messages.ts";
export { CarrierNames, isPortless, type NodeNames, stockNames } from "./names.ts";
export { PacketReader } from "./packets.ts";
export { admissionOf, type Existing } from "./precedence.ts";
export { startErlangServices } from "./services/services.ts";
export { Ticker } from "./ticker.ts";

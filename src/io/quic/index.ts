export {
  type EarlyData,
  type QuicAddress,
  QuicConnection,
  type QuicConnectionStats,
  SessionTicket,
} from "./connection.ts";
export type { Datagram, DatagramHandler } from "./datagrams.ts";
export {
  type EchoClientOptions,
  type EchoResult,
  type EchoServer,
  echoAlpn,
  runEchoClient,
  serveEcho,
} from "./echo.ts";
export { type QuicConnectOptions, QuicEndpoint, type QuicEndpointOptions } from "./endpoint.ts";
export { defaultAlpn, type QuicIdentity, type QuicLimits, type QuicTrust } from "./options.ts";
export type { QuicEndpointStats } from "./stats.ts";
export { QuicStream } from "./stream.ts";
export { VirtualQuicEndpoint, type VirtualQuicEndpointOptions } from "./virtual-endpoint.ts";

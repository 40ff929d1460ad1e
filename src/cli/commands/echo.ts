import type { Command } from "commander";
import type { NodeIdentity } from "../../identity/index.ts";
import type { EchoResult } from "../../io/quic/echo.ts";
import type { Configuration } from "../../node/configuration-schema.ts";
import { withFoundCookie } from "../cookie.ts";
import { usageFailure } from "../failure.ts";
import { duration, note, print, printJson, withProgress } from "../output.ts";
import { addSettings, commandConfiguration, realmSettings } from "../settings.ts";
import { onEndSignals } from "../signals.ts";
import { wholeNumber } from "./arguments.ts";

interface ConnectOptions {
  readonly roundTrips: number;
  readonly bytes: number;
  readonly streams: number;
  readonly datagrams: number;
  readonly json?: boolean;
}

export function addEcho(program: Command): void {
  const echo = program
    .command("echo")
    .description("check the QUIC engine alone: throughput, round trip, streams, loss");
  addServe(echo);
  addConnect(echo);
}

function addServe(echo: Command): void {
  const command = echo
    .command("serve")
    .description("send back what comes in, until Ctrl-C")
    .option("--json", "print the address as one line of JSON")
    .addHelpText("after", "\nExample:\n  macula echo serve --port 4500")
    .action(async (options: { json?: boolean }, self: Command) => {
      const signals = onEndSignals();
      const { configuration } = commandConfiguration(self);
      const { serveEcho } = await import("../../io/quic/echo.ts");
      const identity = await withProgress("making an identity", temporaryIdentity(configuration));
      const server = await serveEcho({
        ...endpointOptions(configuration, identity),
        port: configuration.port ?? 4_433,
        onEvent: note,
      });
      const { host, port } = server.address;
      if (options.json === true) printJson({ host, port, nodeId: identity.nodeId });
      else print(`echo server on ${host.includes(":") ? `[${host}]` : host}:${port} (UDP), Ctrl-C ends it`);
      await signals;
      await server.close();
    });
  addSettings(command, [...realmSettings, "host", "port"]);
}

function addConnect(echo: Command): void {
  const command = echo
    .command("connect")
    .description("measure the way to an echo server")
    .argument("<address>", "host:port of the server")
    .option("--round-trips <number>", "of 100 bytes", wholeNumber(1, 10_000_000), 1_000)
    .option("--bytes <number>", "to send for the throughput", wholeNumber(1, 1_000_000_000_000), 67_108_864)
    .option("--streams <number>", "to open, use and close", wholeNumber(1, 1_000_000), 1_000)
    .option("--datagrams <number>", "to send for the loss", wholeNumber(1, 1_000_000), 1_000)
    .option("--json", "print one line of JSON for each measurement")
    .addHelpText("after", "\nExample:\n  macula echo connect localhost:4500")
    .action(async (address: string, options: ConnectOptions, self: Command) => {
      const { configuration } = commandConfiguration(self);
      const { runEchoClient } = await import("../../io/quic/echo.ts");
      const identity = await withProgress("making an identity", temporaryIdentity(configuration));
      const { roundTrips, bytes, streams, datagrams } = options;
      const results = runEchoClient({
        ...endpointOptions(configuration, identity),
        port: 0,
        target: parseAddress(address),
        roundTrips,
        bytes,
        streams,
        datagrams,
      });
      const next = results[Symbol.asyncIterator]();
      for (;;) {
        const result = await withProgress(`measuring ${address}`, next.next());
        if (result.done === true) return;
        if (options.json === true) printJson(result.value);
        else print(resultLine(result.value));
      }
    });
  addSettings(command, [...realmSettings, "host"]);
}

/** The server's and the client's identities are of the realm, and kept nowhere. */
async function temporaryIdentity(configuration: Configuration): Promise<NodeIdentity> {
  const [{ openIdentity }, { silentLog }] = await Promise.all([
    import("../../node/identity.ts"),
    import("../../node/log.ts"),
  ]);
  const { configuration: found } = await withFoundCookie(configuration);
  const settings = { ...found, stateDir: null };
  return (await openIdentity(settings, "echo@localhost:0", silentLog)).identity;
}

function endpointOptions({ host }: Configuration, identity: NodeIdentity) {
  return { ...(host === "::" ? {} : { host }), identity, trust: { authorities: identity.authorities } };
}

function parseAddress(text: string): { host: string; port: number } {
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^:@[\]]+):(\d{1,5})$/.exec(text) ?? [];
  if (host === undefined || Number(port) > 65_535) {
    throw usageFailure(`${text} is not an address: host:port, as in localhost:4433`);
  }
  return { host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

function resultLine(result: EchoResult): string {
  switch (result.kind) {
    case "connected":
      return `connected    ${duration(result.handshakeMs)}, to ${result.nodeId}`;
    case "roundTrip":
      return `round trip   ${duration(result.p50Ms)} (99 %: ${duration(result.p99Ms)}) in ${result.count}`;
    case "throughput":
      return `throughput   ${result.megabytesPerSecond.toFixed(0)} MB/s over ${result.bytes} bytes`;
    case "streams":
      return `streams      ${result.count} in ${duration(result.totalMs)}, ${result.failed} failed`;
    case "datagrams":
      return `datagrams    ${result.returned} of ${result.sent} came back (${result.lostPercent.toFixed(1)} % lost)`;
    case "connection":
      return `connection   ${duration(result.rttMs)} by QUIC, packets of ${result.mtuBytes} bytes, ${result.packetsLost} of ${result.packetsSent} lost`;
    default:
      return result satisfies never;
  }
}

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "vitest";
import { seededRandom } from "../../src/base/random.ts";
import { SrvResolver } from "../../src/io/dns/srv.ts";
import { Daemon } from "./support/daemon.ts";
import { describeWithPrograms } from "./support/programs.ts";

describeWithPrograms("dnsmasq", { programs: { dnsmasq: "dnsmasq-base" } }, () => {
  let dnsmasq: Daemon;
  let resolver: SrvResolver;

  beforeAll(async () => {
    const socket = createSocket("udp4").bind(0, "127.0.0.1");
    await once(socket, "listening");
    const { port } = socket.address();
    socket.close();
    await once(socket, "close");
    dnsmasq = new Daemon("dnsmasq", [
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      "--pid-file",
      "--log-facility=-",
      "--no-resolv",
      "--no-hosts",
      "--user=root",
      "--bind-interfaces",
      "--listen-address=127.0.0.1",
      `--port=${port}`,
      "--srv-host=_macula._udp.example.org,node2.example.org,4434,20,0",
      "--srv-host=_macula._udp.example.org,node1.example.org,4433,10,0",
      "--srv-host=_macula._udp.nothing.example",
    ]);
    await dnsmasq.says(/started, version/);
    resolver = new SrvResolver({ servers: [`127.0.0.1:${port}`], random: seededRandom(1) });
  });
  afterAll(() => dnsmasq.stop());

  test("its SRV records name nodes, by priority", async () => {
    expect(await resolver.lookUp("_macula._udp.example.org")).toEqual([
      { host: "node1.example.org", port: 4433 },
      { host: "node2.example.org", port: 4434 },
    ]);
  });

  test.each(["_macula._udp.nothing.example", "_macula._udp.absent.example"])("%s has none", async (name) => {
    await expect(resolver.lookUp(name)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });
});

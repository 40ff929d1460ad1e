import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { realmHash, Service } from "../../src/io/mdns/service.ts";
import { service, TestMdns } from "../mdns/support.ts";
import { AvahiMachine } from "./support/avahi.ts";
import { describeWithPrograms } from "./support/programs.ts";

const programs = {
  "avahi-daemon": "avahi-daemon",
  "avahi-browse": "avahi-utils",
  "dbus-daemon": "dbus",
  ip: "iproute2",
};

describeWithPrograms("Avahi", { programs, root: true }, () => {
  let machine: AvahiMachine;
  beforeAll(async () => {
    machine = await AvahiMachine.start();
  });
  afterAll(() => machine.close());

  const start = (name: string, port: number): TestMdns => {
    const mdns = new TestMdns({
      service: service(name, { port }),
      interfaces: machine.interfaces,
    });
    mdns.round();
    return mdns;
  };

  test("what it publishes is found, by IPv4 and IPv6", async () => {
    const txt = ["v=1", `realm=${realmHash("test")}`, "name=theirs@avahi-peer.local:4434"];
    const publisher = machine.run("avahi-publish", "-s", "A node. Of theirs", "_macula._udp", "4434", ...txt);
    await publisher.says(/Established/);
    const mdns = start("ours", 4433);
    await mdns.until(() => new Set(mdns.found.map(({ host }) => host)).size === 2);
    const found = { port: 4434, name: "theirs@avahi-peer.local:4434" };
    expect(mdns.found).toContainEqual({ ...found, host: AvahiMachine.its.IPv4 });
    expect(mdns.found).toContainEqual({ ...found, host: AvahiMachine.its.IPv6 });
    expect(mdns.problems).toEqual([]);
    await publisher.stop();
  });

  test("what it publishes of another realm is not, nor what is no node", async () => {
    const publish = (name: string, ...txt: string[]) =>
      machine.run("avahi-publish", "-s", name, "_macula._udp", "4434", ...txt);
    const right = (name: string) => [
      "v=1",
      `realm=${realmHash("test")}`,
      `name=${name}@avahi-peer.local:4434`,
    ];
    const all = [
      publish("other", "v=1", `realm=${realmHash("other")}`, "name=other@avahi-peer.local:4434"),
      publish("bare"),
      publish("right", ...right("right")),
    ];
    for (const publisher of all) await publisher.says(/Established/);
    const mdns = start("ours", 4433);
    await mdns.until(() => mdns.found.some(({ name }) => name === "right@avahi-peer.local:4434"));
    // What is published last is found last.
    const last = publish("last", ...right("last"));
    await mdns.until(() => mdns.found.some(({ name }) => name === "last@avahi-peer.local:4434"));
    expect(mdns.found.filter(({ name }) => name === undefined || name.startsWith("other"))).toEqual([]);
    for (const publisher of [...all, last]) await publisher.stop();
  });

  test("avahi-browse sees a node, all of it, and its goodbye", async () => {
    const facts = service("ours", { port: 4433 });
    const mdns = new TestMdns({ service: facts, interfaces: machine.interfaces });
    const { instance, target } = new Service(facts);
    const label = instance.split(".")[0];
    const browser = machine.run("avahi-browse", "-rp", "_macula._udp");
    mdns.round();
    for (const family of ["IPv4", "IPv6"] as const) {
      const [line] = await browser.says(new RegExp(`^=;cable;${family};${label};.*\n`, "m"));
      const [, , , , type, domain, host, address, port, txt = ""] = line.trimEnd().split(";");
      expect([type, domain, host, port]).toEqual(["_macula._udp", "local", target, "4433"]);
      expect(Object.values(AvahiMachine.ours)).toContain(address);
      const strings = ["v=1", `realm=${realmHash("test")}`, `id=${facts.nodeId}`, "name=ours@localhost:4433"];
      expect(txt.split(" ").toSorted()).toEqual(strings.map((text) => `"${text}"`).toSorted());
    }
    await mdns.close();
    for (const family of ["IPv4", "IPv6"]) {
      await browser.says(new RegExp(`^-;cable;${family};${label};`, "m"));
    }
    await browser.stop();
  });

  test("on one machine, port 5353 is for both", async () => {
    const program = fileURLToPath(new URL("support/mdns-program.mjs", import.meta.url));
    const neighbour = machine.run(process.execPath, program, "neighbour");
    const browser = machine.run("avahi-browse", "-p", "_macula._udp");
    await browser.says(/^\+;cable;IPv4;neighbour-/m);
    const txt = ["v=1", `realm=${realmHash("test")}`, "name=beside@avahi-peer.local:4434"];
    const publisher = machine.run("avahi-publish", "-s", "beside", "_macula._udp", "4434", ...txt);
    await neighbour.says(/"name":"beside@avahi-peer.local:4434"/);
    for (const daemon of [publisher, browser, neighbour]) await daemon.stop();
  });

  test("avahi-browse -rpt, as a user calls it, lists a node that runs", async () => {
    const mdns = start("listed", 4433);
    const waiting = machine.run("avahi-browse", "-p", "_macula._udp");
    await waiting.says(/^\+;cable;IPv4;listed-/m);
    await waiting.stop();
    await machine.run("avahi-browse", "-rpt", "_macula._udp").says(/^=;cable;IPv4;listed-.*\n/m);
    expect(mdns.problems).toEqual([]);
  });
});

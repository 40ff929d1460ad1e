import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import type { Interfaces } from "../../../src/io/mdns/links.ts";
import { Daemon } from "./daemon.ts";

/** Any user may own and say anything on it: there is nobody but us. */
const busConfiguration = (socket: string): string => `<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/>
    <allow send_requested_reply="true"/><allow receive_type="method_call"/><allow receive_requested_reply="true"/>
  </policy>
</busconfig>
`;

const avahiConfiguration = `[server]
host-name=avahi-peer
use-ipv4=yes
use-ipv6=yes
ratelimit-interval-usec=1000000
ratelimit-burst=1000
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
`;

/**
 * Avahi as on another machine: in a network namespace of its own, at the other end of a cable. Only root can make one.
 * It has its own bus and files; nothing of the machine's own Avahi is touched.
 */
export class AvahiMachine {
  /** Addresses at the two ends. */
  static readonly ours = { IPv4: "198.18.109.1", IPv6: "2001:db8:6d61::1" } as const;
  static readonly its = { IPv4: "198.18.109.2", IPv6: "2001:db8:6d61::2" } as const;
  readonly #namespace = `macula-${process.pid}`;
  readonly #cable = `mac${process.pid}`;
  readonly #folder = mkdtempSync(join(tmpdir(), "macula-avahi-"));
  readonly #daemons: Daemon[] = [];

  static async start(): Promise<AvahiMachine> {
    const machine = new AvahiMachine();
    try {
      machine.#layCable();
      await machine.#startDaemons();
      return machine;
    } catch (error) {
      await machine.close();
      throw error;
    }
  }

  /** Our end of the cable, the only interface that Macula is to see. */
  readonly interfaces = (): Interfaces => {
    const { [this.#cable]: cable } = networkInterfaces();
    return cable === undefined ? {} : { [this.#cable]: cable };
  };

  /** Runs a program on that machine, until `close` at the latest. */
  run(command: string, ...args: readonly string[]): Daemon {
    const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: `unix:path=${join(this.#folder, "bus")}` };
    const daemon = new Daemon("ip", ["netns", "exec", this.#namespace, command, ...args], env);
    this.#daemons.push(daemon);
    return daemon;
  }

  async close(): Promise<void> {
    // Those started last first: they talk to the ones before.
    for (const daemon of this.#daemons.reverse()) await daemon.stop();
    // The cable goes with the namespace.
    execFileSync("ip", ["netns", "delete", this.#namespace]);
    rmSync(this.#folder, { recursive: true });
  }

  #layCable(): void {
    const ip = (...args: string[]): void => void execFileSync("ip", args);
    const there = ["-n", this.#namespace];
    ip("netns", "add", this.#namespace);
    ip("link", "add", this.#cable, "type", "veth", "peer", "name", "cable", "netns", this.#namespace);
    for (const [where, name, { IPv4, IPv6 }, local] of [
      [[], this.#cable, AvahiMachine.ours, "fe80::1"],
      [there, "cable", AvahiMachine.its, "fe80::2"],
    ] as const) {
      // Addresses given by hand, and not tried out first: they are there at once.
      ip(...where, "link", "set", name, "addrgenmode", "none");
      ip(...where, "addr", "add", `${IPv4}/24`, "dev", name);
      for (const address of [IPv6, local]) {
        ip(...where, "addr", "add", `${address}/64`, "dev", name, "nodad");
      }
      ip(...where, "link", "set", name, "up");
    }
  }

  async #startDaemons(): Promise<void> {
    const bus = join(this.#folder, "bus.conf");
    const avahi = join(this.#folder, "avahi.conf");
    writeFileSync(bus, busConfiguration(join(this.#folder, "bus")));
    writeFileSync(avahi, avahiConfiguration);
    const daemon = this.run("dbus-daemon", `--config-file=${bus}`, "--nofork", "--print-address");
    await daemon.says(/unix:path/);
    // `ip netns exec` gives each program its own view of the mounts, so that this /run is Avahi's alone.
    const start = `mount -t tmpfs tmpfs /run && exec avahi-daemon -f ${avahi} --no-drop-root --no-chroot --no-rlimits`;
    await this.run("sh", "-c", start).says(/Server startup complete/);
  }
}

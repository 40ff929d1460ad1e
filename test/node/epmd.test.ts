import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { epmdLookUp, epmdNames, epmdPort, epmdRegister } from "../../src/io/epmd.ts";
import { readErlangCookie } from "../../src/io/erlang-cookie.ts";
import { loopbackOf } from "../../src/io/tcp.ts";

/* What epmd answers, byte by byte; test/peers has the real one. */

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** An epmd that does `answer` with each connection's first bytes. */
async function fake(answer: (socket: Socket, request: Buffer) => void): Promise<{ port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", (request: Buffer) => answer(socket, request));
    closing.push(() => socket.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return { port: (server.address() as AddressInfo).port };
}

const found = Buffer.from([119, 0, 0x12, 0x34, 77, 0, 0, 6, 0, 6, 0, 1, 0x61, 0, 0]);

describe("epmd", () => {
  test("the port of a node: PORT_PLEASE2_REQ and PORT2_RESP", async () => {
    let asked: Uint8Array = new Uint8Array(0);
    const options = await fake((socket, request) => {
      asked = request;
      // In two pieces, as TCP may.
      socket.write(found.subarray(0, 3));
      setImmediate(() => socket.end(found.subarray(3)));
    });
    expect(await epmdLookUp("a", options)).toBe(0x1234);
    expect([...asked]).toEqual([0, 2, 122, 0x61]);
  });

  test.each([
    ["no such node", Buffer.from([119, 1]), "PEER_UNREACHABLE"],
    [
      "a node of before OTP 23",
      Buffer.from([...found.subarray(0, 6), 0, 5, 0, 5, ...found.subarray(10)]),
      "VERSION_MISMATCH",
    ],
    ["another answer", Buffer.from("HTTP/1.1 400\r\n\r\n"), "DECODE"],
    ["nothing", Buffer.alloc(0), "DECODE"],
    ["half an answer", found.subarray(0, 4), "DECODE"],
    ["an answer without end", Buffer.alloc(100_000, 119), "DECODE"],
  ])("%s", async (_name, bytes, code) => {
    const options = await fake((socket) => socket.end(bytes));
    await expect(epmdLookUp("a", options)).rejects.toMatchObject({ code });
  });

  test("an epmd that does not answer, and none at all", async () => {
    const options = await fake(() => undefined);
    await expect(epmdLookUp("a", { ...options, timeoutMs: 20 })).rejects.toMatchObject({ code: "TIMEOUT" });
    await expect(epmdLookUp("a", { port: 1 })).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringContaining("epmd -daemon") as unknown,
    });
  });

  test.each([
    ["ALIVE2_X_RESP", Buffer.from([118, 0, 0, 0, 0, 1])],
    ["ALIVE2_RESP, of before OTP 23", Buffer.from([121, 0, 0, 1])],
  ])("a registration, answered with %s, lasts as long as its connection", async (_name, bytes) => {
    let asked: Uint8Array = new Uint8Array(0);
    let epmd: Socket | undefined;
    const options = await fake((socket, request) => {
      asked = request;
      epmd = socket;
      socket.write(bytes);
    });
    const registration = await epmdRegister("ts", 0x1234, options);
    expect([...asked]).toEqual([0, 15, 120, 0x12, 0x34, 77, 0, 0, 6, 0, 6, 0, 2, 0x74, 0x73, 0, 0]);
    const lost = new Promise<void>((resolve) => {
      registration.onLost = resolve;
    });
    epmd?.destroy();
    await lost;
  });

  test("a name that is taken", async () => {
    const options = await fake((socket) => socket.write(Buffer.from([118, 1, 0, 0, 0, 0])));
    await expect(epmdRegister("ts", 1, options)).rejects.toMatchObject({ code: "NAME_TAKEN" });
  });

  test("the names of all nodes", async () => {
    const text = "name a at port 1\nname b.c at port 65535\n";
    const options = await fake((socket) =>
      socket.end(Buffer.concat([Buffer.from([0, 0, 17, 17]), Buffer.from(text)])),
    );
    expect(await epmdNames(options)).toEqual(
      new Map([
        ["a", 1],
        ["b.c", 65_535],
      ]),
    );
  });

  test("its port: ERL_EPMD_PORT, else 4369", () => {
    expect(epmdPort({ ERL_EPMD_PORT: "5000" })).toBe(5_000);
    expect(epmdPort({ ERL_EPMD_PORT: "x" })).toBe(4_369);
    expect(epmdPort({})).toBe(4_369);
  });
});

describe("where stock nodes of this machine find a host", () => {
  test.each([
    ["localhost", "127.0.0.1"],
    ["127.0.1.1", "127.0.1.1"],
    ["192.0.2.1", "127.0.0.1"],
    ["no.such.host.invalid", "127.0.0.1"],
  ])("%s: %s", async (host, address) => {
    expect(await loopbackOf(host)).toBe(address);
  });
});

describe("the Erlang cookie", () => {
  function home(): string {
    const folder = mkdtempSync(join(tmpdir(), "macula-cookie-"));
    closing.push(() => rmSync(folder, { recursive: true }));
    return folder;
  }

  test("is what is in ~/.erlang.cookie, without the line end", async () => {
    const folder = home();
    writeFileSync(join(folder, ".erlang.cookie"), "SECRET\n", { mode: 0o400 });
    expect(await readErlangCookie(folder)).toBe("SECRET");
  });

  test("is made as Erlang makes it when there is none, for its owner only, and stays", async () => {
    const folder = home();
    const made = await readErlangCookie(folder);
    expect(made).toMatch(/^[A-Z]{20}$/);
    expect(readFileSync(join(folder, ".erlang.cookie"), "utf8")).toBe(made);
    expect(statSync(join(folder, ".erlang.cookie")).mode & 0o077).toBe(0);
    expect(await readErlangCookie(folder)).toBe(made);
  });

  test("is refused when others can read it, or it is none", async () => {
    const folder = home();
    const path = join(folder, ".erlang.cookie");
    writeFileSync(path, "SECRET");
    chmodSync(path, 0o644);
    await expect(readErlangCookie(folder)).rejects.toMatchObject({ code: "CONFIGURATION" });
    writeFileSync(path, "two\nlines");
    chmodSync(path, 0o600);
    await expect(readErlangCookie(folder)).rejects.toMatchObject({
      code: "CONFIGURATION",
      message: expect.stringContaining("printable") as unknown,
    });
  });
});

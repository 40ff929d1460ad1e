import { execFileSync, spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { base32 } from "../../src/base/text.ts";
import {
  certificatesToPem,
  cookieAuthority,
  type NodeIdentity,
  ownAuthority,
  ownIdentity,
  privateKeyToPem,
} from "../../src/identity/index.ts";
import { identityCrypto } from "../../src/io/crypto.ts";
import { nodeIdentity, openIdentityStore } from "../../src/io/identity-store.ts";
import { expiredIdentity, strangerIdentity, testIdentity } from "../identity/support.ts";

const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "macula-openssl-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const write = (name: string, content: string): string => {
  writeFileSync(path(name), content, { mode: 0o600 });
  return path(name);
};
const openssl = (...args: string[]): string =>
  execFileSync("openssl", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

let files = 0;
function save(identity: NodeIdentity) {
  const id = files++;
  const [leaf, ...above] = identity.certificateChain as [Uint8Array, ...Uint8Array[]];
  return {
    certificate: write(`leaf${id}.pem`, certificatesToPem([leaf])),
    untrusted: write(`chain${id}.pem`, certificatesToPem(above.length > 0 ? above : [leaf])),
    authorities: write(`authority${id}.pem`, certificatesToPem(identity.authorities)),
    key: write(`key${id}.pem`, privateKeyToPem(identity.privateKey)),
  };
}

/** As strict as openssl can be, for both ends of TLS. */
function verify(identity: NodeIdentity, authorities = save(identity).authorities): string {
  const { certificate, untrusted } = save(identity);
  const strict = [
    "-x509_strict",
    "-check_ss_sig",
    "-auth_level",
    "2",
    "-CAfile",
    authorities,
    "-untrusted",
    untrusted,
  ];
  return ["sslserver", "sslclient"]
    .map((purpose) => {
      const args = ["verify", ...strict, "-purpose", purpose, certificate];
      const { stdout, stderr } = spawnSync("openssl", args, { encoding: "utf8" });
      return `${stdout}${stderr}`.replaceAll(certificate, "leaf");
    })
    .join("");
}

const bothOk = "leaf: OK\nleaf: OK\n";

// In CI a missing openssl is a failure, not a reason to skip.
describe.skipIf(!hasOpenssl && process.env["CI"] === undefined)("openssl", () => {
  test("accepts the certificates of a cookie's realm, and says of them what we do", async () => {
    const identity = await testIdentity({ realm: "demo", cookie: "cookie for openssl" });
    expect(verify(identity)).toBe(bothOk);
    const { certificate, authorities, key } = save(identity);
    const text = openssl("x509", "-in", certificate, "-noout", "-text");
    expect(text).toContain("Version: 3");
    expect(text).toContain(`URI:macula:demo/${identity.nodeId}`);
    expect(text).toContain(`O = demo, CN = ${identity.nodeId}`);
    expect(text).toContain("Public-Key: (256 bit)");
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(text).toMatch(
      /Extended Key Usage:\s+TLS Web Server Authentication, TLS Web Client Authentication\n/,
    );
    const authority = openssl("x509", "-in", authorities, "-noout", "-text");
    expect(authority).toMatch(/Subject: O = demo\n/);
    expect(authority).toContain("CA:TRUE, pathlen:0");
    expect(authority).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(openssl("pkey", "-in", key, "-check", "-noout")).toContain("Key is valid");
  });

  test("computes the node id from the certificate alone", async () => {
    const identity = await testIdentity();
    write("pub.pem", openssl("x509", "-in", save(identity).certificate, "-noout", "-pubkey"));
    execFileSync("openssl", ["pkey", "-pubin", "-in", "pub.pem", "-outform", "der", "-out", "pub.der"], {
      cwd: folder,
    });
    expect(
      base32(
        createHash("sha256")
          .update(readFileSync(path("pub.der")))
          .digest(),
      ),
    ).toBe(identity.nodeId);
  });

  test("refuses the authority of another cookie or realm", async () => {
    const identity = await testIdentity({ realm: "demo", cookie: "cookie for openssl" });
    for (const [realm, cookie] of [
      ["demo", "another"],
      ["other", "cookie for openssl"],
    ] as const) {
      const { anchors } = await cookieAuthority(realm, cookie, identityCrypto);
      const other = write("other.pem", certificatesToPem(anchors));
      expect(verify(identity, other)).not.toContain("OK");
    }
    expect(verify(await strangerIdentity(), save(await testIdentity()).authorities)).not.toContain("OK");
  });

  test("two derivations of one authority are the same anchor to it", async () => {
    const identity = await testIdentity({ realm: "demo", cookie: "cookie for openssl" });
    const { anchors } = await cookieAuthority("demo", "cookie for openssl", identityCrypto);
    expect(verify(identity, write("again.pem", certificatesToPem(anchors)))).toBe(bothOk);
  });

  test("refuses an expired certificate as expired", async () => {
    expect(verify(await expiredIdentity())).toContain("certificate has expired");
  });

  test("refuses a certificate that a node issued, as if it were an authority", async () => {
    const rogue = await testIdentity({ realm: "demo" });
    const issuer = {
      certificate: rogue.certificateChain[0] as Uint8Array,
      keys: { privateKey: rogue.privateKey, publicKey: rogue.publicKey },
      chain: rogue.certificateChain,
    };
    const authority = { realm: "demo", anchors: rogue.authorities, issuer };
    expect(verify(await testIdentity({ authority }))).not.toContain("OK");
  });

  test("speaks mutual TLS 1.3 with them", async () => {
    const [server, client] = [await testIdentity(), await testIdentity()].map(save) as [
      ReturnType<typeof save>,
      ReturnType<typeof save>,
    ];
    const listener = createServer({
      cert: readFileSync(server.certificate),
      key: readFileSync(server.key),
      ca: readFileSync(server.authorities),
      requestCert: true,
      minVersion: "TLSv1.3",
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as AddressInfo;
    const args = ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_3", "-verify_return_error", "-brief"];
    const own = ["-cert", client.certificate, "-key", client.key, "-CAfile", client.authorities];
    const peer = spawn("openssl", [...args, ...own], { stdio: ["pipe", "ignore", "pipe"] });
    let said = "";
    peer.stderr.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    const [socket] = (await once(listener, "secureConnection")) as [TLSSocket];
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerCertificate().subject.O).toBe("test");
    socket.end();
    await once(peer, "close");
    listener.close();
    expect(said).toContain("Verification: OK");
  });
});

describe.skipIf(!hasOpenssl && process.env["CI"] === undefined)(
  "a user's own authority made with openssl",
  () => {
    const newKey: Readonly<Record<string, readonly string[]>> = {
      "P-256": ["ecparam", "-name", "prime256v1", "-genkey"],
      "P-384": ["ecparam", "-name", "secp384r1", "-genkey"],
      "RSA 2048": ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-quiet"],
    };
    const root = (name: string, algorithm = "P-256") => {
      openssl(...(newKey[algorithm] as string[]), "-out", `${name}.key`);
      const subject = ["-subj", `/C=DE/O=Größe & Söhne/CN=${name}`, "-utf8"];
      const extensions = [
        "-addext",
        "basicConstraints=critical,CA:TRUE",
        "-addext",
        "keyUsage=critical,keyCertSign",
      ];
      openssl(
        "req",
        "-x509",
        "-new",
        "-key",
        `${name}.key`,
        "-days",
        "10",
        ...subject,
        ...extensions,
        "-out",
        `${name}.pem`,
      );
      return {
        certificates: readFileSync(path(`${name}.pem`), "utf8"),
        privateKey: readFileSync(path(`${name}.key`), "utf8"),
      };
    };
    const sign = (name: string, issuer: string, extensions: string) => {
      openssl("req", "-new", "-key", `${name}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`);
      write(`${name}.cnf`, extensions);
      const by = [
        "-CA",
        `${issuer}.pem`,
        "-CAkey",
        `${issuer}.key`,
        "-CAcreateserial",
        "-extfile",
        `${name}.cnf`,
      ];
      openssl("x509", "-req", "-in", `${name}.csr`, "-days", "5", ...by, "-out", `${name}.pem`);
      return readFileSync(path(`${name}.pem`), "utf8");
    };
    const idOf = (name: string): string => {
      openssl("pkey", "-in", `${name}.key`, "-pubout", "-outform", "der", "-out", `${name}.pub`);
      return base32(
        createHash("sha256")
          .update(readFileSync(path(`${name}.pub`)))
          .digest(),
      );
    };

    test.each(Object.keys(newKey))("%s: certifies nodes, within its own validity", async (algorithm) => {
      const authority = await ownAuthority("demo", root("root", algorithm), identityCrypto);
      const store = await openIdentityStore(undefined);
      const identity = await nodeIdentity({ realm: "demo", name: "a@b:1", store, authority });
      expect(identity.notAfter).toBeLessThan(Date.now() + 11 * 86_400_000);
      expect(identity.certificateChain).toHaveLength(1);
      expect(verify(identity)).toBe(bothOk);
      expect(await nodeIdentity({ realm: "demo", name: "a@b:1", store, authority })).toEqual(identity);
    });

    test("an intermediate certifies nodes, which show it to peers that trust the root only", async () => {
      const top = root("top");
      openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "middle.key");
      const extensions =
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash";
      const middle = sign("middle", "top", extensions);
      const privateKey = readFileSync(path("middle.key"), "utf8");
      const own = { certificates: `${top.certificates}\nremarks\n${middle}`, privateKey };
      const authority = await ownAuthority("demo", own, identityCrypto);
      const identity = await nodeIdentity({
        realm: "demo",
        name: "a@b:1",
        store: await openIdentityStore(undefined),
        authority,
      });
      expect(identity.certificateChain).toHaveLength(2);
      expect(verify(identity, path("top.pem"))).toBe(bothOk);
    });

    describe("a node certificate made beforehand (docs/identity.md)", () => {
      const usage = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth";
      const make = (algorithm: string, extensions: (id: string) => string) => {
        const { certificates } = root("ca");
        openssl(...(newKey[algorithm] as string[]), "-out", "node.key");
        const own = sign("node", "ca", extensions(idOf("node")));
        return {
          certificates,
          node: { certificates: own, privateKey: readFileSync(path("node.key"), "utf8") },
        };
      };
      const identityOf = async ({ certificates, node }: ReturnType<typeof make>, now = Date.now()) =>
        ownIdentity(await ownAuthority("demo", { certificates }, identityCrypto), node, now, identityCrypto);

      test("makes an identity", async () => {
        const made = make("P-256", (id) => `${usage}\nsubjectAltName=URI:macula:demo/${id}`);
        const identity = await identityOf(made);
        expect(identity.nodeId).toBe(idOf("node"));
        expect(verify(identity)).toBe(bothOk);
        const tenDays = 10 * 86_400_000;
        await expect(identityOf(made, Date.now() + tenDays)).rejects.toMatchObject({
          code: "CERTIFICATE_EXPIRED",
        });
        await expect(identityOf(made, Date.now() - tenDays)).rejects.toMatchObject({
          code: "CERTIFICATE_EXPIRED",
        });
      });

      test.each<[string, string, (id: string) => string, RegExp]>([
        [
          "of another realm",
          "P-256",
          (id) => `${usage}\nsubjectAltName=URI:macula:other/${id}`,
          /URI:macula:demo/,
        ],
        ["of no realm, as the authority may have many", "P-256", () => usage, /URI:macula:demo/],
        [
          "of another node",
          "P-256",
          (id) => `${usage}\nsubjectAltName=URI:macula:demo/${base32(new Uint8Array(32))}#${id}`,
          /URI/,
        ],
        ["with an RSA key", "RSA 2048", (id) => `${usage}\nsubjectAltName=URI:macula:demo/${id}`, /P-256/],
        [
          "for servers only",
          "P-256",
          (id) => `extendedKeyUsage=serverAuth\nsubjectAltName=URI:macula:demo/${id}`,
          /clientAuth/,
        ],
      ])("is refused when it is one %s", async (_, algorithm, extensions, message) => {
        await expect(identityOf(make(algorithm, extensions))).rejects.toMatchObject({
          code: "CONFIGURATION",
          message: expect.stringMatching(message),
        });
      });

      test("is refused when another authority signed it, or the key is another's", async () => {
        const made = make("P-256", (id) => `${usage}\nsubjectAltName=URI:macula:demo/${id}`);
        const stranger = root("stranger");
        await expect(identityOf({ ...made, certificates: stranger.certificates })).rejects.toMatchObject({
          code: "CONFIGURATION",
          message: expect.stringContaining("issued by neither"),
        });
        const node = { ...made.node, privateKey: stranger.privateKey };
        await expect(identityOf({ ...made, node })).rejects.toMatchObject({ code: "CONFIGURATION" });
      });

      test("is refused as an authority, and an authority's key must be one of its own", async () => {
        const { certificates, node } = make("P-256", () => usage);
        const attempts = [
          { certificates: node.certificates },
          { certificates, privateKey: node.privateKey },
          { certificates: "" },
          { certificates: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" },
          { certificates, privateKey: certificates },
        ];
        for (const own of attempts) {
          await expect(ownAuthority("demo", own, identityCrypto)).rejects.toMatchObject({
            code: "CONFIGURATION",
          });
        }
      });
    });
  },
);

import { join } from "node:path";
import { MeshError } from "../base/errors.ts";
import {
  type Authority,
  CookieAuthorities,
  certificatesFromPem,
  certificatesToPem,
  freshValidity,
  generateCookie,
  identityFrom,
  isIdentityOf,
  issueIdentity,
  type KeyPair,
  type NodeIdentity,
  parseRealmName,
  privateKeyToPem,
  readCertificate,
  renewAt,
} from "../identity/index.ts";
import { wallNow } from "./clock.ts";
import { identityCrypto } from "./crypto.ts";
import { fileName } from "./file-name.ts";
import {
  checkPrivateFolder,
  createPrivateFile,
  ensurePrivateFolder,
  readPrivateFile,
  writePrivateFile,
} from "./private-files.ts";
import { systemRandom } from "./random.ts";

/** A realm's cookie, and whether it was made just now. */
interface KeptCookie {
  readonly cookie: string;
  readonly generated: boolean;
}

/**
 * What outlives a node: cookies by realm, keys and certificates by realm and node name.
 * Every method may throw MeshError `CONFIGURATION` for a file that is broken, or open to others.
 */
export interface IdentityStore {
  /** The realm's cookie; generated and kept when there is none. Processes that ask at the same time get the same one. */
  cookie(realm: string): Promise<KeptCookie>;
  /** The node's keys; generated and kept when there are none. */
  nodeKeys(realm: string, name: string): Promise<KeyPair>;
  /** The node's certificate and those above it, DER; `undefined` when there is none, or none that can be read. */
  certificates(realm: string, name: string): Promise<readonly Uint8Array[] | undefined>;
  saveCertificates(realm: string, name: string, chain: readonly Uint8Array[]): Promise<void>;
}

/**
 * Opens the store in a folder, which is made when missing; `undefined` keeps everything in memory.
 * @throws MeshError `CONFIGURATION` when others can write to the folder.
 */
export async function openIdentityStore(folder: string | undefined): Promise<IdentityStore> {
  if (folder === undefined) return storeOn(memoryFiles());
  await ensurePrivateFolder(folder);
  return storeOn(diskFiles(folder));
}

export interface NodeIdentityOptions {
  readonly realm: string;
  /** The node's full name, under which its key is kept. */
  readonly name: string;
  readonly store: IdentityStore;
  /** One of the two at the most. Default: the cookie kept in the store. */
  readonly cookie?: string;
  /** With its key. For one without see `readOwnIdentity`. */
  readonly authority?: Authority;
  /** Milliseconds since 1970. Default: the system's clock. */
  readonly now?: number;
}

/** One for the process: many nodes may start in it at the same time. */
const cookieAuthorities = new CookieAuthorities(identityCrypto);

/**
 * A node's identity: the key kept in the store, and a certificate with at least a third of its life left. Called again
 * when `renewAt` has come it gives the same identity with a new certificate.
 * @throws MeshError `CONFIGURATION`, `CERTIFICATE_EXPIRED` when the authority itself is not in force.
 */
export async function nodeIdentity(options: NodeIdentityOptions): Promise<NodeIdentity> {
  const { name, store, now = wallNow() } = options;
  const authority = await authorityOf(options);
  const keys = await store.nodeKeys(authority.realm, name);
  const kept = await keptIdentity(authority, keys, options);
  if (kept !== undefined && now >= kept.notBefore && now < renewAt(kept.notBefore, kept.notAfter))
    return kept;
  return issueAndKeep(authority, keys, options);
}

/** The same identity with a new certificate, however long the old one would still last. */
export async function renewNodeIdentity(options: NodeIdentityOptions): Promise<NodeIdentity> {
  const authority = await authorityOf(options);
  return issueAndKeep(authority, await options.store.nodeKeys(authority.realm, options.name), options);
}

/**
 * The cookie in a file of the user's own, without the line end it may have.
 * @throws MeshError `CONFIGURATION` when there is none, or others can read it.
 */
export async function readCookieFile(path: string): Promise<string> {
  const content = await readPrivateFile(path, { followLinks: true });
  if (content === undefined) throw new MeshError("CONFIGURATION", `there is no cookie file ${path}`);
  return cookieFrom(content);
}

async function authorityOf(options: NodeIdentityOptions): Promise<Authority> {
  const realm = parseRealmName(options.realm);
  if (options.authority === undefined) {
    return cookieAuthorities.get(realm, options.cookie ?? (await options.store.cookie(realm)).cookie);
  }
  if (options.cookie !== undefined || options.authority.realm !== realm) {
    throw new MeshError(
      "CONFIGURATION",
      "a realm has either a cookie or an authority, which is of that realm",
    );
  }
  return options.authority;
}

/** The identity with the certificate kept in the store; `undefined` when that is not one of this key and authority. */
async function keptIdentity(authority: Authority, keys: KeyPair, { name, store }: NodeIdentityOptions) {
  const chain = await store.certificates(authority.realm, name);
  if (chain === undefined) return undefined;
  try {
    const identity = identityFrom(authority, keys, chain, identityCrypto);
    return (await isIdentityOf(authority, identity, identityCrypto)) ? identity : undefined;
  } catch {
    // A certificate is cheap to replace; what is wrong with the old one does not matter.
    return undefined;
  }
}

async function issueAndKeep(
  authority: Authority,
  keys: KeyPair,
  { name, store, now = wallNow() }: NodeIdentityOptions,
): Promise<NodeIdentity> {
  if (authority.issuer === undefined) {
    throw new MeshError(
      "CONFIGURATION",
      `there is no key to issue certificates for realm ${authority.realm} with`,
    );
  }
  const own = readCertificate(authority.issuer.certificate, identityCrypto);
  if (now < own.notBefore || now >= own.notAfter) {
    throw new MeshError("CERTIFICATE_EXPIRED", `the authority of realm ${authority.realm} is not in force`);
  }
  const identity = await issueIdentity(
    authority,
    keys,
    freshValidity(now, own),
    systemRandom,
    identityCrypto,
  );
  await store.saveCertificates(authority.realm, name, identity.certificateChain);
  return identity;
}

/** Small files by path (parts that need no escaping), each whole or not there. */
interface Files {
  read(path: readonly string[]): Promise<Uint8Array | undefined>;
  /** False when there is one. */
  create(path: readonly string[], content: Uint8Array): Promise<boolean>;
  write(path: readonly string[], content: Uint8Array): Promise<void>;
  /** For messages. */
  describe(path: readonly string[]): string;
}

function storeOn(files: Files): IdentityStore {
  const keyPath = (realm: string, name: string) => [
    "realms",
    fileName(realm),
    "nodes",
    `${fileName(name)}.key.pem`,
  ];
  const certificatePath = (realm: string, name: string) =>
    keyPath(realm, name).map((part) => part.replace(/\.key\.pem$/, ".certificate.pem"));

  /** What is in the file; when there is none, what `make` makes, or another process at the same moment. */
  async function readOrCreate(path: readonly string[], make: () => string) {
    const there = await files.read(path);
    if (there !== undefined) return { content: there, created: false };
    const created = await files.create(path, Buffer.from(make()));
    const content = await files.read(path);
    if (content === undefined)
      throw new MeshError("CONFIGURATION", `${files.describe(path)} keeps disappearing`);
    return { content, created };
  }

  return {
    cookie: async (realm) => {
      const path = ["realms", fileName(parseRealmName(realm)), "cookie"];
      const { content, created } = await readOrCreate(path, () => `${generateCookie(systemRandom)}\n`);
      return { cookie: cookieFrom(content), generated: created };
    },
    nodeKeys: async (realm, name) => {
      const path = keyPath(parseRealmName(realm), name);
      const make = () => privateKeyToPem(identityCrypto.generateKeyPair().privateKey);
      const { content } = await readOrCreate(path, make);
      try {
        return identityCrypto.readPrivateKey(Buffer.from(content).toString());
      } catch (cause) {
        const hint = "delete it, and the node gets a new identity";
        throw new MeshError("CONFIGURATION", `${files.describe(path)} is not a private key: ${hint}`, {
          cause,
        });
      }
    },
    certificates: async (realm, name) => {
      const content = await files.read(certificatePath(parseRealmName(realm), name));
      if (content === undefined) return undefined;
      try {
        return certificatesFromPem(Buffer.from(content).toString());
      } catch {
        return undefined;
      }
    },
    saveCertificates: (realm, name, chain) =>
      files.write(certificatePath(parseRealmName(realm), name), Buffer.from(certificatesToPem(chain))),
  };
}

function diskFiles(root: string): Files {
  const full = (path: readonly string[]): string => join(root, ...path);
  // Each folder on the way, not only the last: a writable one above is as good to an attacker.
  const foldersOf = (path: readonly string[]): string[] =>
    path.slice(1).map((_, index) => full(path.slice(0, index + 1)));
  const prepare = async (path: readonly string[]): Promise<string> => {
    for (const folder of foldersOf(path)) await ensurePrivateFolder(folder);
    return full(path);
  };
  return {
    read: async (path) => {
      for (const folder of foldersOf(path)) if (!(await checkPrivateFolder(folder))) return undefined;
      return readPrivateFile(full(path));
    },
    create: async (path, content) => createPrivateFile(await prepare(path), content),
    write: async (path, content) => writePrivateFile(await prepare(path), content),
    describe: full,
  };
}

function memoryFiles(): Files {
  const contents = new Map<string, Uint8Array>();
  const key = (path: readonly string[]): string => path.join("/");
  return {
    read: (path) => Promise.resolve(contents.get(key(path))),
    create: (path, content) => {
      const free = !contents.has(key(path));
      if (free) contents.set(key(path), content);
      return Promise.resolve(free);
    },
    write: (path, content) => {
      contents.set(key(path), content);
      return Promise.resolve();
    },
    describe: key,
  };
}

/** Without the line end that editors add. */
function cookieFrom(content: Uint8Array): string {
  return Buffer.from(content)
    .toString()
    .replace(/\r?\n$/, "");
}

import { equal } from "../base/bytes.ts";
import { MeshError, toError } from "../base/errors.ts";
import { type Authority, type NodeIdentity, ownAuthority, ownIdentity } from "../identity/index.ts";
import { wallNow } from "./clock.ts";
import { identityCrypto } from "./crypto.ts";
import { readPrivateFile } from "./private-files.ts";

/** Paths of the files of an authority that the user runs; the names are those of the settings, for messages. */
export interface AuthorityFiles {
  readonly authorityFile: string;
  readonly authorityKeyFile?: string | undefined;
}

/** Paths of the files of a certificate made beforehand. */
export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/**
 * The user's own authority of a realm.
 * @throws MeshError `CONFIGURATION` naming setting and file, when a file is missing, broken, or open to others.
 */
export async function readOwnAuthority(
  realm: string,
  { authorityFile, authorityKeyFile }: AuthorityFiles,
): Promise<Authority> {
  const { authority, certificates } = await inSetting("authorityFile", authorityFile, async () => {
    const certificates = await readText(authorityFile, { secret: false });
    return { authority: await ownAuthority(realm, { certificates }, identityCrypto), certificates };
  });
  if (authorityKeyFile === undefined) return authority;
  return inSetting("authorityKeyFile", authorityKeyFile, async () => {
    const privateKey = await readText(authorityKeyFile, { secret: true });
    return ownAuthority(realm, { certificates, privateKey }, identityCrypto);
  });
}

/**
 * The identity of a node whose certificate and key were made beforehand.
 * @throws MeshError naming setting and file: `CONFIGURATION` when a file is missing, broken, open to others or does not fit the
 * others, `CERTIFICATE_EXPIRED`.
 */
export async function readOwnIdentity(
  authority: Authority,
  { certificateFile, keyFile }: CertificateFiles,
): Promise<NodeIdentity> {
  const privateKey = await inSetting("keyFile", keyFile, async () => {
    const pem = await readText(keyFile, { secret: true });
    // Here for the message alone: what is no key is the fault of this file, what does not fit that of the other.
    identityCrypto.readPrivateKey(pem);
    return pem;
  });
  return inSetting("certificateFile", certificateFile, async () => {
    const certificates = await readText(certificateFile, { secret: false });
    return ownIdentity(authority, { certificates, privateKey }, wallNow(), identityCrypto);
  });
}

/**
 * The same node with the certificate that has been put in place of the old one.
 * @throws MeshError as `readOwnIdentity`; `CONFIGURATION` when it is the old one still, or the key is another.
 */
export async function rereadOwnIdentity(
  authority: Authority,
  files: CertificateFiles,
  current: NodeIdentity,
): Promise<NodeIdentity> {
  const identity = await readOwnIdentity(authority, files);
  if (identity.nodeId !== current.nodeId) {
    throw new MeshError(
      "CONFIGURATION",
      `keyFile ${files.keyFile}: with another key it is another node: restart it`,
    );
  }
  const [[now], [before]] = [identity.certificateChain, current.certificateChain];
  if (now !== undefined && before !== undefined && equal(now, before)) {
    throw new MeshError(
      "CONFIGURATION",
      `certificateFile ${files.certificateFile}: put a new certificate there, this one ends on ${new Date(current.notAfter).toISOString()}`,
    );
  }
  return identity;
}

async function readText(path: string, { secret }: { readonly secret: boolean }): Promise<string> {
  const content = await readPrivateFile(path, { followLinks: true, readable: !secret });
  if (content === undefined) throw new MeshError("CONFIGURATION", "there is no such file");
  return Buffer.from(content).toString();
}

/** What `action` gives; what it throws names the setting and the file that it is about. */
async function inSetting<Result>(
  setting: string,
  path: string,
  action: () => Promise<Result>,
): Promise<Result> {
  try {
    return await action();
  } catch (cause) {
    const code = cause instanceof MeshError ? cause.code : "CONFIGURATION";
    throw new MeshError(code, `${setting} ${path}: ${toError(cause).message}`, { cause });
  }
}

export type { Authority, Issuer } from "./authority.ts";
export {
  type CertificateFacts,
  isIssuedBy,
  issueNodeCertificate,
  nodeIdOf,
  readCertificate,
  selfSignAuthority,
  type Validity,
} from "./certificates.ts";
export { generateCookie, normalizeCookie } from "./cookie.ts";
export { CookieAuthorities, cookieAuthority, cookieScrypt, scalarFrom } from "./cookie-authority.ts";
export { cookieWeakness } from "./cookie-weakness.ts";
export type { IdentityCrypto, KeyPair, ScryptParameters, WebCrypto } from "./crypto.ts";
export {
  freshValidity,
  identityFrom,
  isIdentityOf,
  issueIdentity,
  type NodeIdentity,
} from "./node-identity.ts";
export { type OwnAuthority, ownAuthority, ownIdentity } from "./own-authority.ts";
export { certificatesFromPem, certificatesToPem, privateKeyToPem } from "./pem.ts";
export { nodeUri, parseNodeUri, parseRealmName, realmNameLengthMax } from "./realm.ts";
export { certificateLifeMs, clockSkewMs, renewAt } from "./renewal.ts";

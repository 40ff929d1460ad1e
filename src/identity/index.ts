export type { Authority } from "./authority.ts";
export {
  isIssuedBy,
  nodeIdOf,
  readCertificate,
} from "./certificates.ts";
export { generateCookie, normalizeCookie } from "./cookie.ts";
export { CookieAuthorities, cookieAuthority, scalarFrom } from "./cookie-authority.ts";
export { cookieWeakness } from "./cookie-weakness.ts";
export type { IdentityCrypto, KeyPair } from "./crypto.ts";
export {
  freshValidity,
  identityFrom,
  isIdentityOf,
  issueIdentity,
  type NodeIdentity,
} from "./node-identity.ts";
export { ownAuthority, ownIdentity } from "./own-authority.ts";
export { certificatesFromPem, certificatesToPem, privateKeyToPem } from "./pem.ts";
export { parseNodeUri, parseRealmName } from "./realm.ts";
export { renewAt } from "./renewal.ts";

/*
 * Hybrid Public Key Encryption, RFC 9180, of which one suite and one mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-GCM,
 * mode_auth (the sender proves its key too). Names are those of the RFC.
 */
import { concat } from "../base/bytes.ts";
import { utf8 } from "../base/text.ts";
import { pointBytes, type SealCrypto } from "./seal-crypto.ts";

const kemId = 0x0010;
const kdfId = 0x0001;
const modeAuth = 0x02;
const hashBytes = 32;
const nonceBytes = 12;

/** AES-256-GCM. The published vectors for this KEM are for AES-128-GCM, so the tests use that too. */
export const aes256Gcm = 0x0002;
export const aes128Gcm = 0x0001;
type AeadId = typeof aes256Gcm | typeof aes128Gcm;

const version = utf8("HPKE-v1");
const kemSuite = Uint8Array.of(0x4b, 0x45, 0x4d, kemId >> 8, kemId & 0xff);
const empty = new Uint8Array(0);

/** One direction of sealed traffic between two nodes. */
export class SealContext {
  readonly #crypto: SealCrypto;
  readonly #key: Uint8Array;
  readonly #baseNonce: Uint8Array;

  constructor(crypto: SealCrypto, key: Uint8Array, baseNonce: Uint8Array) {
    this.#crypto = crypto;
    this.#key = key;
    this.#baseNonce = baseNonce;
  }

  /** @param number of the packet, 0 … 2^53 − 1; the caller never seals two under the same. */
  seal(number: number, associated: Uint8Array, plain: Uint8Array): Uint8Array {
    return this.#crypto.encrypt(this.#key, this.#nonce(number), associated, plain);
  }

  /** `undefined` when it was not sealed under this number by the other end, for this node, exactly so. */
  open(number: number, associated: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
    return this.#crypto.decrypt(this.#key, this.#nonce(number), associated, sealed);
  }

  /** RFC 9180 §5.2, ComputeNonce. */
  #nonce(number: number): Uint8Array {
    const nonce = this.#baseNonce.slice();
    const view = new DataView(nonce.buffer);
    view.setUint32(4, view.getUint32(4) ^ Math.floor(number / 0x1_0000_0000));
    view.setUint32(8, view.getUint32(8) ^ (number >>> 0));
    return nonce;
  }
}

/** What goes to the receiver to set up the same context. */
export interface Setup {
  readonly enc: Uint8Array;
  readonly context: SealContext;
}

/** SetupAuthS, §5.1.3; `undefined` when `receiver` is no point of the curve. */
export function setUpSender(
  crypto: SealCrypto,
  receiver: Uint8Array,
  info: Uint8Array,
  aead: AeadId = aes256Gcm,
): Setup | undefined {
  const ephemeral = crypto.ephemeral();
  const enc = ephemeral.publicPoint;
  const first = ephemeral.agree(receiver);
  const second = crypto.agree(receiver);
  if (first === undefined || second === undefined) return undefined;
  const shared = extractAndExpand(
    crypto,
    concat([first, second]),
    concat([enc, receiver, crypto.publicPoint]),
  );
  return { enc, context: keySchedule(crypto, shared, info, aead) };
}

/** SetupAuthR, §5.1.3; `undefined` when `enc` or `sender` is no point of the curve. */
export function setUpReceiver(
  crypto: SealCrypto,
  sender: Uint8Array,
  enc: Uint8Array,
  info: Uint8Array,
  aead: AeadId = aes256Gcm,
): SealContext | undefined {
  if (enc.length !== pointBytes || sender.length !== pointBytes) return undefined;
  const first = crypto.agree(enc);
  const second = crypto.agree(sender);
  if (first === undefined || second === undefined) return undefined;
  const shared = extractAndExpand(crypto, concat([first, second]), concat([enc, crypto.publicPoint, sender]));
  return keySchedule(crypto, shared, info, aead);
}

/** §4.1, ExtractAndExpand. */
function extractAndExpand(crypto: SealCrypto, secret: Uint8Array, kemContext: Uint8Array): Uint8Array {
  const prk = labeledExtract(crypto, kemSuite, empty, "eae_prk", secret);
  return labeledExpand(crypto, kemSuite, prk, "shared_secret", kemContext, hashBytes);
}

/** §5.1, KeySchedule with neither psk nor psk_id. */
function keySchedule(crypto: SealCrypto, shared: Uint8Array, info: Uint8Array, aead: AeadId): SealContext {
  const suite = concat([
    utf8("HPKE"),
    Uint8Array.of(kemId >> 8, kemId & 0xff, kdfId >> 8, kdfId & 0xff, aead >> 8, aead & 0xff),
  ]);
  const context = concat([
    Uint8Array.of(modeAuth),
    labeledExtract(crypto, suite, empty, "psk_id_hash", empty),
    labeledExtract(crypto, suite, empty, "info_hash", info),
  ]);
  const secret = labeledExtract(crypto, suite, shared, "secret", empty);
  const keyBytes = aead === aes256Gcm ? 32 : 16;
  const key = labeledExpand(crypto, suite, secret, "key", context, keyBytes);
  return new SealContext(
    crypto,
    key,
    labeledExpand(crypto, suite, secret, "base_nonce", context, nonceBytes),
  );
}

/** §4. HKDF-Extract is HMAC with the salt as key (RFC 5869 §2.2). */
function labeledExtract(
  crypto: SealCrypto,
  suite: Uint8Array,
  salt: Uint8Array,
  label: string,
  secret: Uint8Array,
): Uint8Array {
  return crypto.hmacSha256(salt, concat([version, suite, utf8(label), secret]));
}

/** §4. No output is longer than the hash, so HKDF-Expand is its first block (RFC 5869 §2.3). */
function labeledExpand(
  crypto: SealCrypto,
  suite: Uint8Array,
  prk: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const block = concat([
    Uint8Array.of(length >> 8, length & 0xff),
    version,
    suite,
    utf8(label),
    info,
    Uint8Array.of(1),
  ]);
  return crypto.hmacSha256(prk, block).subarray(0, length);
}

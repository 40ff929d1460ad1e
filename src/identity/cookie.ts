import { MeshError } from "../base/errors.ts";
import type { Random } from "../base/random.ts";
import { base32, utf8 } from "../base/text.ts";

/** Bytes of a cookie in UTF-8, at the most. */
const cookieBytesMax = 1_024;

/** A cookie that nobody guesses: 160 random bits as 32 characters of base32. `random` must be the system's. */
export function generateCookie(random: Random): string {
  return base32(random.bytes(20));
}

/**
 * The cookie in the one form that is hashed: Unicode NFC, so that the same characters typed on different systems are the
 * same cookie.
 * @throws MeshError `CONFIGURATION` when it is empty, too long, or has control characters (a stray line end, mostly).
 */
export function normalizeCookie(cookie: string): string {
  const normal = cookie.normalize("NFC");
  const length = utf8(normal).length;
  if (length === 0 || length > cookieBytesMax) {
    throw new MeshError("CONFIGURATION", `a cookie has 1 to ${cookieBytesMax} bytes, this one has ${length}`);
  }
  // Never the cookie itself in the message: messages are logged.
  if (/\p{Cc}/u.test(normal)) {
    throw new MeshError(
      "CONFIGURATION",
      "the cookie contains a control character, such as a line end or a tab",
    );
  }
  return normal;
}

import { createHash, randomInt } from "node:crypto";
import { homedir } from "node:os";
import { join } from "node:path";
import { MeshError } from "../base/errors.ts";
import { utf8, utf8Text } from "../base/text.ts";
import { createPrivateFile, readPrivateFile } from "./private-files.ts";

const generatedLength = 20;

/**
 * The cookie of this user's Erlang nodes, in `~/.erlang.cookie`. Made as Erlang makes it when there is none.
 * @throws MeshError `CONFIGURATION` when others can read the file, or what is in it is no cookie.
 */
export async function readErlangCookie(home: string = homedir()): Promise<string> {
  const path = join(home, ".erlang.cookie");
  const found = await readPrivateFile(path, { followLinks: true });
  if (found !== undefined) return cookieIn(path, found);
  const letters = Array.from({ length: generatedLength }, () => String.fromCharCode(65 + randomInt(26)));
  await createPrivateFile(path, utf8(letters.join("")));
  // Somebody else may have been faster.
  return cookieIn(path, (await readPrivateFile(path, { followLinks: true })) ?? utf8(""));
}

function cookieIn(path: string, content: Uint8Array): string {
  const cookie = utf8Text(content).trimEnd();
  if (/^[ -~]{1,255}$/.test(cookie)) return cookie;
  throw new MeshError("CONFIGURATION", `${path} must hold 1 to 255 printable characters`);
}

/** What proves the knowledge of an Erlang cookie: MD5 over it and the challenge in decimal. */
export function erlangDigest(cookie: string): (challenge: number) => Uint8Array {
  return (challenge) =>
    new Uint8Array(
      createHash("md5")
        .update(Buffer.from(`${cookie}${challenge}`, "latin1"))
        .digest(),
    );
}

import { MeshError } from "../base/errors.ts";
import type { GivenValue, GivenValues } from "./configuration-values.ts";

// The settings that say who belongs to the realm: a cookie, or an authority of the user's own. Each is right by itself;
// here is what they are together.

/** The cookie and the file it is in are two ways to say one thing: the stronger source wins, both in one source clash. */
export function preferStrongerCookie(chosen: Map<string, GivenValue>, layers: readonly GivenValues[]): void {
  const cookie = chosen.get("cookie");
  const cookieFile = chosen.get("cookieFile");
  if (cookie === undefined || cookieFile === undefined) return;
  const rank = (value: GivenValue): number => layers.findIndex(({ values }) => values.includes(value));
  if (rank(cookie) === rank(cookieFile)) {
    throw new MeshError(
      "CONFIGURATION",
      `${cookie.source} and ${cookieFile.source} give two cookies: keep one of cookie and cookieFile`,
    );
  }
  chosen.delete(rank(cookie) < rank(cookieFile) ? "cookieFile" : "cookie");
}

/**
 * What is too much or missing among them, one sentence each. A cookie beside an authority is wrong whichever source is the
 * stronger one: to join the realm of one while the other was meant would be found out too late.
 */
export function trustProblems(chosen: ReadonlyMap<string, GivenValue>): string[] {
  const given = (key: string): string | undefined => {
    const value = chosen.get(key);
    return value === undefined ? undefined : `${key} (${value.source})`;
  };
  const problems: string[] = [];
  const cookie = given("cookie") ?? given("cookieFile");
  const authority = given("authorityFile");
  const authorityKey = given("authorityKeyFile");
  const certificate = given("certificateFile");
  const key = given("keyFile");
  const own = authority ?? authorityKey ?? certificate ?? key;
  if (own === undefined) return problems;
  if (cookie !== undefined) {
    problems.push(`${cookie} and ${own}: a realm has either a cookie or an authority of your own: keep one`);
  }
  if (authority === undefined) problems.push(`${own} needs authorityFile, the certificates of the authority`);
  if (certificate !== undefined && key === undefined) {
    problems.push(`${certificate} needs keyFile, the key that belongs to it`);
  }
  if (key !== undefined && certificate === undefined) {
    problems.push(`${key} needs certificateFile, the certificate that belongs to it`);
  }
  if (authorityKey !== undefined && (certificate ?? key) !== undefined) {
    problems.push(
      `${authorityKey} and ${certificate ?? key}: the node certifies itself or was certified beforehand: keep one`,
    );
  }
  if ((authorityKey ?? certificate ?? key) === undefined) {
    problems.push(`${own} needs authorityKeyFile, or certificateFile and keyFile`);
  }
  return problems;
}

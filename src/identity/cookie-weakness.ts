import { normalizeCookie } from "./cookie.ts";

/**
 * Bits below which a cookie is called weak. Guessing off line at scrypt's cost, a million tries a second is a large
 * installation, and gets through 2^45 in a year; the rest is margin, since this only estimates.
 */
const bitsMin = 60;

/** What one word is worth in bits, among the few that everybody tries first. */
const commonWordBits = 6;

/** What one word is worth in bits, drawn from a list of about 8,000 as passphrases are (Diceware). */
const passphraseWordBits = 13;

/**
 * Why a cookie should not be used, as a sentence for people; `undefined` when nothing speaks against it. The estimate is
 * meant to catch what people type (`secret`, `qwerty123`, `aaaaaaaaaaaaaaaa`), not to rank good secrets.
 * The sentence never contains the cookie.
 * @throws MeshError `CONFIGURATION` when it cannot be a cookie at all.
 */
export function cookieWeakness(cookie: string): string | undefined {
  const text = normalizeCookie(cookie);
  const unit = repeatedUnit(text);
  const { rest, found } = withoutCommonWords(unit);
  const fresh = unpredictableCount(rest);
  const counted = found * commonWordBits + fresh * Math.log2(alphabetSize(text));
  const bits = Math.floor(Math.min(counted, passphraseBits(text)));
  if (bits >= bitsMin) return undefined;

  const reasons: string[] = [];
  if (unit.length < text.length) reasons.push("it repeats itself");
  if (found > 0) reasons.push("it contains words that everybody tries first");
  if (fresh < rest.length) reasons.push("it contains sequences of neighbouring characters");
  if (passphraseBits(text) < counted) reasons.push("it is made of a few words");
  if (reasons.length === 0) reasons.push(`it has only ${text.length} characters`);
  return (
    `the cookie is weak, worth about ${bits} bits (${reasons.join("; ")}): whoever can reach a node can try cookies ` +
    "off line, and joins the realm with the right one. Leave it out to have one generated"
  );
}

/** The shortest text of which this one is a repetition (the last time perhaps cut off); the whole, if it is none. */
function repeatedUnit(text: string): string {
  for (let period = 1; period * 2 <= text.length; period++) {
    if (text.startsWith(text.slice(period))) return text.slice(0, period);
  }
  return text;
}

const commonWords = (
  "password passwort passwd pass secret geheim cookie erlang elixir macula default changeme change letmein welcome admin " +
  "administrator root user guest test testing demo example sample node cluster realm mesh server client master local " +
  "localhost host system login hello world abc qwerty qwertz azerty asdf dragon monkey football baseball soccer hockey " +
  "master shadow sunshine princess iloveyou love trustno one superman batman starwars ninja mustang freedom whatever " +
  "summer winter spring autumn january february march april june july august september october november december " +
  "monday tuesday wednesday thursday friday saturday sunday production prod staging stage develop dev internal private " +
  "public company service database db rabbitmq rabbit couchdb ejabberd riak monster foo bar baz key token temp my the"
).split(" ");
/** Longest first, so that `password` is found before `pass`. */
const commonWordPattern = new RegExp([...commonWords].sort((a, b) => b.length - a.length).join("|"), "g");
const disguises: Readonly<Record<string, string>> = {
  "0": "o",
  "1": "i",
  "3": "e",
  "4": "a",
  "5": "s",
  "7": "t",
  "@": "a",
  $: "s",
  "!": "i",
};

/** The text less its common words, also those in disguise (`p4ssw0rd`), and how many they were. */
function withoutCommonWords(text: string): { readonly rest: string; readonly found: number } {
  const plain = text.toLowerCase();
  const undisguised = plain.replace(/[013457@$!]/g, (character) => disguises[character] as string);
  const words = undisguised.match(commonWordPattern) ?? [];
  // Short words turn up in random text: only what makes up a good part of the whole counts against it.
  const covered = words.reduce((total, word) => total + word.length, 0);
  if (covered * 3 < undisguised.length) return { rest: plain, found: 0 };
  let rest = "";
  let from = 0;
  for (const match of undisguised.matchAll(commonWordPattern)) {
    rest += plain.slice(from, match.index);
    from = match.index + match[0].length;
  }
  return { rest: rest + plain.slice(from), found: words.length };
}

const keyboardRows = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];

/** Characters other than those that carry on a sequence: `abcd`, `8765`, `aaaa`, `asdf` count two each. */
function unpredictableCount(text: string): number {
  const codes = Array.from(text, (character) => character.codePointAt(0) ?? 0);
  const keys = Array.from(text, (character) => {
    const row = keyboardRows.findIndex((keyboardRow) => keyboardRow.includes(character));
    return row < 0 ? Number.NaN : row * 100 + (keyboardRows[row] as string).indexOf(character);
  });
  return codes.filter((_, index) => !carriesOn(codes, index) && !carriesOn(keys, index)).length;
}

function carriesOn(values: readonly number[], index: number): boolean {
  if (index < 2) return false;
  const step = (values[index] as number) - (values[index - 1] as number);
  return Math.abs(step) <= 1 && step === (values[index - 1] as number) - (values[index - 2] as number);
}

/** How many characters there are of the kinds in use. */
function alphabetSize(text: string): number {
  if (/^[0-9]*$/.test(text)) return 10;
  if (/^(?:[0-9a-f-]*|[0-9A-F-]*)$/.test(text)) return 16;
  let size = 0;
  if (/[a-z]/.test(text)) size += 26;
  if (/[A-Z]/.test(text)) size += 26;
  if (/[0-9]/.test(text)) size += 10;
  // Punctuation, or letters beyond ASCII, of which people use few at a time.
  if (/[^A-Za-z0-9]/.test(text)) size += 32;
  return size;
}

/** At most so much, when the text is words with something between them. */
function passphraseBits(text: string): number {
  const words = text.split(/[^\p{L}]+/u).filter((word) => word !== "");
  const isPhrase =
    words.length > 1 && words.every((word) => /^\p{L}?\p{Ll}*$/u.test(word) && word.length <= 12);
  return isPhrase && !/\d/.test(text) ? words.length * passphraseWordBits : Number.POSITIVE_INFINITY;
}

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Random, seededRandom } from "../../src/base/random.ts";
import { Session, type SessionInput, type SessionOutput } from "../../src/session/index.ts";

/** What one end sent or heard, session by session. */
interface Life {
  readonly sent: number[];
  readonly received: number[];
}

interface Message {
  readonly payload: Uint8Array;
  arrived: boolean;
}

interface End {
  readonly session: Session;
  readonly lives: Life[];
  life: Life;
  readonly news: string[];
  /** Messages of the channel to the other end, not known to have arrived. */
  channel: Message[];
  /** Waits for a link to be used, or for one to be known to be gone. */
  held: number[];
  link: number | undefined;
  uses: boolean;
  reads: boolean;
  readonly unread: { readonly life: number; readonly value: number }[];
  /** Greetings that came before the news of the link. */
  readonly early: { readonly life: number; readonly payload: Uint8Array }[];
}

/** Two ends, a link that comes and goes, and channels: each with delays, so that both hear of everything at other times. */
class Pair {
  readonly random: Random;
  readonly a: End;
  readonly b: End;
  now = 0;
  linkLife = 0;
  linked = false;
  #sequence = 0;
  #value = 0;
  #events: { due: number; sequence: number; run: () => void }[] = [];
  readonly #fifo = new Map<string, number>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
    this.a = this.#end();
    this.b = this.#end();
  }

  send(end: End): void {
    const value = this.#value++;
    end.life.sent.push(value);
    if (end.link !== undefined && !end.uses) {
      end.session.touch();
      end.held.push(value);
    } else if (end.uses) this.#byLink(end, value);
    else this.#byChannel(end, end.session.message(0, Uint8Array.of(value >> 8, value & 0xff)));
  }

  tell(end: End, input: SessionInput): void {
    end.session.handle(input);
    for (let output = end.session.poll(); output !== undefined; output = end.session.poll())
      this.#act(end, output);
  }

  /** A link comes up: both hear of it, each in its time. */
  connect(): void {
    if (this.linked) return;
    this.linked = true;
    const life = ++this.linkLife;
    for (const end of [this.a, this.b]) {
      this.#later(`news ${this.#name(end)}`, () => {
        if (life !== this.linkLife) return;
        end.link = life;
        this.tell(end, { type: "linkUp" });
        for (const each of end.early.splice(0)) {
          if (each.life === life) this.tell(end, { type: "greeting", payload: each.payload });
        }
      });
    }
  }

  /** The link is lost, with what is on it. */
  cut(): void {
    if (!this.linked) return;
    this.linked = false;
    this.linkLife++;
    for (const end of [this.a, this.b]) this.#later(`news ${this.#name(end)}`, () => this.#gone(end, false));
  }

  /** The link ends in order: nobody sends any more, all is read, then both hear of it. */
  retire(): void {
    const ends = [this.a, this.b];
    if (!this.linked || !ends.every(({ link, uses, reads }) => link === this.linkLife && uses && reads))
      return;
    for (const end of ends) end.uses = false;
    this.run(1_000);
    if (!this.linked) return;
    this.linked = false;
    this.linkLife++;
    for (const end of [this.a, this.b]) this.#later(`news ${this.#name(end)}`, () => this.#gone(end, true));
  }

  /** Everything under way from `end` by its channel is given up: some of it has arrived. */
  lose(end: End): void {
    if (end.channel.length === 0) return;
    end.channel = [];
    this.tell(end, { type: "lost", number: end.session.number });
  }

  run(forMs: number): void {
    const until = this.now + forMs;
    for (;;) {
      const next = this.#events[0];
      if (next === undefined || next.due > until) break;
      this.#events.shift();
      this.now = next.due;
      next.run();
    }
    this.now = until;
  }

  #end(): End {
    const life = { sent: [], received: [] };
    return {
      session: new Session(1, seededRandom(this.random.u32())),
      lives: [life],
      life,
      news: [],
      channel: [],
      held: [],
      link: undefined,
      uses: false,
      reads: false,
      unread: [],
      early: [],
    };
  }

  #name(end: End): string {
    return end === this.a ? "a" : "b";
  }

  #other(end: End): End {
    return end === this.a ? this.b : this.a;
  }

  #later(line: string, run: () => void): void {
    const due = Math.max(this.now + this.random.integer(100), this.#fifo.get(line) ?? 0);
    this.#fifo.set(line, due);
    this.#events.push({ due, sequence: this.#sequence++, run });
    this.#events.sort((x, y) => x.due - y.due || x.sequence - y.sequence);
  }

  #gone(end: End, clean: boolean): void {
    if (end.link === undefined) return;
    this.#forgetLink(end);
    this.tell(end, { type: "linkDown", clean });
    for (const value of end.held.splice(0))
      this.#byChannel(end, end.session.message(0, Uint8Array.of(value >> 8, value & 0xff)));
  }

  #forgetLink(end: End): void {
    end.link = undefined;
    end.uses = false;
    end.reads = false;
  }

  #byLink(end: End, value: number): void {
    const other = this.#other(end);
    const life = end.link;
    this.#later(`link ${this.#name(end)}`, () => {
      if (life !== this.linkLife) return;
      if (other.reads) other.life.received.push(value);
      else other.unread.push({ life, value });
    });
  }

  #byChannel(end: End, payload: Uint8Array): void {
    const message: Message = { payload, arrived: false };
    end.channel.push(message);
    const name = this.#name(end);
    this.#later(`channel ${name}`, () => {
      if (!end.channel.includes(message)) return;
      message.arrived = true;
      this.tell(this.#other(end), { type: "message", payload });
      this.#later(`ack ${name}`, () => {
        const before = end.channel.length;
        end.channel = end.channel.filter((each) => each !== message);
        if (end.channel.length === 0 && before > 0) this.tell(end, { type: "settled" });
      });
    });
  }

  #act(end: End, output: SessionOutput): void {
    const other = this.#other(end);
    switch (output.type) {
      case "greet": {
        const life = end.link;
        this.#later(`link ${this.#name(end)}`, () => {
          if (life !== this.linkLife) return;
          if (other.link === life) this.tell(other, { type: "greeting", payload: output.payload });
          else other.early.push({ life, payload: output.payload });
        });
        break;
      }
      case "answer":
        this.#byChannel(end, output.message);
        break;
      case "useLink":
        end.uses = true;
        for (const value of end.held.splice(0)) this.#byLink(end, value);
        break;
      case "readLink":
        end.reads = true;
        for (const { life, value } of end.unread.splice(0))
          if (life === end.link) end.life.received.push(value);
        break;
      case "endLink":
        this.#forgetLink(end);
        this.cut();
        break;
      case "up":
        end.news.push("up");
        break;
      case "down":
        end.news.push("down");
        end.held = [];
        end.channel = [];
        end.life = { sent: [], received: [] };
        end.lives.push(end.life);
        break;
      default:
        end.life.received.push(((output.bytes[0] as number) << 8) | (output.bytes[1] as number));
    }
  }
}

describe("a session", () => {
  test("loses, doubles and reorders nothing while it lasts, whatever becomes of links and channels", () => {
    fc.assert(
      fc.property(
        fc.integer(),
        fc.array(fc.constantFrom("connect", "cut", "retire", "loseA", "loseB", "a", "b", "both", "wait"), {
          minLength: 1,
          maxLength: 40,
        }),
        (seed, steps) => {
          const pair = new Pair(seed);
          const { a, b } = pair;
          for (const step of steps) {
            if (step === "connect") pair.connect();
            else if (step === "cut") pair.cut();
            else if (step === "retire") pair.retire();
            else if (step === "loseA") pair.lose(a);
            else if (step === "loseB") pair.lose(b);
            else if (step === "wait") pair.run(1_000);
            else {
              for (let count = pair.random.integer(5); count >= 0; count--) {
                if (step !== "b") pair.send(a);
                if (step !== "a") pair.send(b);
                pair.run(pair.random.integer(40));
              }
            }
            pair.run(pair.random.integer(60));
          }
          pair.run(10_000);
          // Once more each way: whoever has a session that the other gave up hears of it now.
          pair.send(a);
          pair.send(b);
          pair.run(10_000);
          pair.send(a);
          pair.send(b);
          pair.run(10_000);
          for (const [from, to] of [
            [a, b],
            [b, a],
          ] as const) {
            for (const { received } of to.lives) {
              // What a session of the receiver heard is how a session of the sender began.
              const [first] = received;
              if (first === undefined) continue;
              const life = from.lives.find(({ sent }) => sent.includes(first));
              expect(received).toEqual(life?.sent.slice(0, received.length));
            }
            expect(to.life.received.at(-1)).toBe(from.life.sent.at(-1));
            expect(to.life.received).toEqual(from.life.sent);
            expect(to.news.at(-1)).toBe("up");
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test("begun by a link takes it at once, and is up when the other greets", () => {
    const session = new Session(7, seededRandom(1));
    session.handle({ type: "linkUp" });
    expect(outputs(session).map(({ type }) => type)).toEqual(["useLink", "greet"]);
    const other = new Session(8, seededRandom(2));
    other.handle({ type: "linkUp" });
    const greeting = outputs(other).find(({ type }) => type === "greet") as { payload: Uint8Array };
    session.handle({ type: "greeting", payload: greeting.payload });
    expect(outputs(session)).toEqual([{ type: "up", creation: 8 }, { type: "readLink" }]);
    session.handle({ type: "linkDown", clean: false });
    expect(outputs(session)).toEqual([{ type: "down" }]);
  });

  test("with a node that does not speak of sessions is its link", () => {
    const session = new Session(7, seededRandom(1));
    session.handle({ type: "linkUp", plain: { creation: 3 } });
    expect(outputs(session).map(({ type }) => type)).toEqual(["up", "readLink", "useLink"]);
    session.handle({ type: "linkDown", clean: false });
    expect(outputs(session)).toEqual([{ type: "down" }]);
  });

  test("is told to be over also if the other end never spoke", () => {
    const session = new Session(7, seededRandom(1));
    session.message(0, Uint8Array.of(1));
    const { number } = session;
    session.handle({ type: "lost", number });
    expect(outputs(session)).toEqual([{ type: "down" }]);
    session.message(0, Uint8Array.of(2));
    session.handle({ type: "lost", number });
    expect(outputs(session)).toEqual([]);
  });

  test("counts what is no message", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (payload) => {
        const session = new Session(7, seededRandom(1));
        session.handle({ type: "linkUp" });
        session.handle({ type: "greeting", payload });
        session.handle({ type: "message", payload });
      }),
    );
    const session = new Session(7, seededRandom(1));
    session.handle({ type: "message", payload: new Uint8Array(5) });
    expect(session.malformed).toBe(1);
  });
});

function outputs(session: Session): SessionOutput[] {
  const all: SessionOutput[] = [];
  for (let output = session.poll(); output !== undefined; output = session.poll()) all.push(output);
  return all;
}

import type { NodeId } from "../base/node-id.ts";
import type { Random } from "../base/random.ts";
import { after, type Instant } from "../base/time.ts";

interface Request<Task> {
  readonly id: number;
  readonly to: NodeId;
  /** What the answer is for; `undefined` when nobody waits for it. */
  readonly task: Task | undefined;
  readonly due: Instant;
}

/** Questions that have no answer yet. All wait equally long, so that they are due in the order in which they were asked. */
export class Requests<Task> {
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #open = new Map<number, Request<Task>>();

  constructor(random: Random, timeoutMs: number) {
    this.#random = random;
    this.#timeoutMs = timeoutMs;
  }

  /** Notes a question to `to`; returns its id, which nobody else can guess. */
  add(to: NodeId, task: Task | undefined, now: Instant): number {
    let id = this.#random.u32();
    while (this.#open.has(id)) id = this.#random.u32();
    this.#open.set(id, { id, to, task, due: after(now, this.#timeoutMs) });
    return id;
  }

  /** The question that `from` answers, once. */
  answer(from: NodeId, id: number): Request<Task> | undefined {
    const request = this.#open.get(id);
    if (request?.to !== from) return undefined;
    this.#open.delete(id);
    return request;
  }

  /** Removes the questions to `id`. */
  lose(id: NodeId): Request<Task>[] {
    const lost = [...this.#open.values()].filter(({ to }) => to === id);
    for (const request of lost) this.#open.delete(request.id);
    return lost;
  }

  deadline(): Instant | undefined {
    for (const { due } of this.#open.values()) return due;
    return undefined;
  }

  /** Removes those that are due at or before `now`. */
  expire(now: Instant): Request<Task>[] {
    const expired: Request<Task>[] = [];
    for (const request of this.#open.values()) {
      if (request.due > now) break;
      this.#open.delete(request.id);
      expired.push(request);
    }
    return expired;
  }
}

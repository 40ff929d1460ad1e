/** Session tickets for 0-RTT by node name, the newest few of each. A ticket is good for one connection: `take` removes it. */
export class Tickets<Ticket> {
  readonly #nodesMax: number;
  readonly #perNodeMax: number;
  readonly #byName = new Map<string, Ticket[]>();

  /** @param nodesMax Nodes remembered, default 1,024; the one without a new ticket for longest is forgotten first. */
  constructor(nodesMax = 1_024, perNodeMax = 2) {
    this.#nodesMax = nodesMax;
    this.#perNodeMax = perNodeMax;
  }

  put(name: string, ticket: Ticket): void {
    const tickets = this.#byName.get(name) ?? [];
    this.#byName.delete(name);
    this.#byName.set(name, [...tickets, ticket].slice(-this.#perNodeMax));
    const [oldest] = this.#byName.keys();
    if (this.#byName.size > this.#nodesMax && oldest !== undefined) this.#byName.delete(oldest);
  }

  take(name: string): Ticket | undefined {
    const tickets = this.#byName.get(name);
    const ticket = tickets?.pop();
    if (tickets?.length === 0) this.#byName.delete(name);
    return ticket;
  }
}

/**
 * How many handshakes of peers may be under way, over all and from one address: a flood of dials costs a bounded
 * amount of memory and signatures, and one address cannot keep out the others.
 */
export class Admission {
  readonly #most: number;
  readonly #mostPerAddress: number;
  readonly #addresses = new Map<number, string>();
  readonly #counts = new Map<string, number>();

  constructor(most: number, mostPerAddress: number) {
    this.#most = most;
    this.#mostPerAddress = mostPerAddress;
  }

  /** True when `connection` from `address` may go on, which is then counted until `leave`. */
  enter(connection: number, address: string): boolean {
    const count = this.#counts.get(address) ?? 0;
    if (this.#addresses.size >= this.#most || count >= this.#mostPerAddress) return false;
    this.#addresses.set(connection, address);
    this.#counts.set(address, count + 1);
    return true;
  }

  has(connection: number): boolean {
    return this.#addresses.has(connection);
  }

  leave(connection: number): void {
    const address = this.#addresses.get(connection);
    if (address === undefined) return;
    this.#addresses.delete(connection);
    const count = (this.#counts.get(address) ?? 1) - 1;
    if (count === 0) this.#counts.delete(address);
    else this.#counts.set(address, count);
  }
}

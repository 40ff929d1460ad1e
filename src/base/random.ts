/** Where cores get randomness from: seeded in simulations and tests, the system's on real nodes. */
export interface Random {
  /** Uniform over 0 … 2^32 − 1. */
  u32(): number;
  /** Uniform over [0, 1). */
  float(): number;
  /** Uniform over 0 … `below` − 1; `below` from 1 to 2^32. */
  integer(below: number): number;
  bytes(length: number): Uint8Array<ArrayBuffer>;
}

/** `Random` made of a source of 32-bit words. */
export function randomFrom(u32: () => number): Random {
  const random: Random = {
    u32,
    float: () => u32() / 0x1_0000_0000,
    integer: (below) => Math.floor(random.float() * below),
    bytes: (length) => {
      const bytes = new Uint8Array(length);
      for (let index = 0; index < length; index++) bytes[index] = u32() & 0xff;
      return bytes;
    },
  };
  return random;
}

/** Repeatable randomness: xoshiro128** seeded through splitmix32. Never for secrets. */
export function seededRandom(seed: number): Random {
  let mixed = seed >>> 0;
  const splitmix = (): number => {
    mixed = (mixed + 0x9e3779b9) >>> 0;
    let z = mixed;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  let a = splitmix();
  let b = splitmix();
  let c = splitmix();
  let d = splitmix();
  return randomFrom(() => {
    const scaled = Math.imul(b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = (d << 11) | (d >>> 21);
    return result;
  });
}

/** Mersenne Twister, as numpy's `RandomState`: the same seed deals the same folds and makes the same views as in Python. */

const N = 624;
const M = 397;

export class MersenneTwister {
  private readonly state = new Uint32Array(N);
  private at = N;

  constructor(seed: number) {
    let value = seed >>> 0;
    for (let n = 0; n < N; n++) {
      this.state[n] = value;
      value = (Math.imul(1812433253, value ^ (value >>> 30)) + n + 1) >>> 0;
    }
  }

  /** In 0..2^32-1. */
  uint32(): number {
    if (this.at === N) this.twist();
    let value = this.state[this.at++] ?? 0;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c5680;
    value ^= (value << 15) & 0xefc60000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  /** In [0, 1). */
  random(): number {
    return ((this.uint32() >>> 5) * 67108864 + (this.uint32() >>> 6)) / 9007199254740992;
  }

  uniform(low: number, high: number): number {
    return low + (high - low) * this.random();
  }

  /** A whole number in 0..most. */
  upTo(most: number): number {
    if (most === 0) return 0;
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const value = (this.uint32() & mask) >>> 0;
      if (value <= most) return value;
    }
  }

  /** In place, as `RandomState.shuffle` does it. */
  shuffle<T>(values: T[]): T[] {
    for (let last = values.length - 1; last > 0; last--) {
      const other = this.upTo(last);
      [values[last], values[other]] = [values[other] as T, values[last] as T];
    }
    return values;
  }

  private twist(): void {
    const { state } = this;
    for (let n = 0; n < N; n++) {
      const joined = ((state[n] ?? 0) & 0x80000000) | ((state[(n + 1) % N] ?? 0) & 0x7fffffff);
      state[n] = (state[(n + M) % N] ?? 0) ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.at = 0;
  }
}

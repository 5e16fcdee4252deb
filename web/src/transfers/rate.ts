/** The speed of the last seconds, and from it the time that is left. Time comes in, in milliseconds. */
export class Rate {
  private samples: { at: number; bytes: number }[] = [];

  constructor(private readonly span = 8000) {}

  add(at: number, bytes: number): void {
    const last = this.samples.at(-1);
    // A retry begins behind where it was: what came before says nothing any more.
    if (last && bytes < last.bytes) this.samples = [];
    this.samples.push({ at, bytes });
    while (this.samples.length > 2 && this.samples[1]!.at <= at - this.span) this.samples.shift();
  }

  reset(): void {
    this.samples = [];
  }

  /** Bytes per second; 0 while there is too little to tell. */
  speed(now: number): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (!first || !last || now - first.at < 500) return 0;
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (now - first.at));
  }
}

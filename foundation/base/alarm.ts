/** Wakes early what waits for its next turn. */

/** An alarm that may ring any number of times. */
export interface Alarm {
  /** Wakes whoever waits for the next ring. */
  ring(): void;
  /**
   * A signal that aborts at the next ring. Taken before a round begins and slept with after it, no ring in between
   * is missed.
   */
  next(): AbortSignal;
}

/** Makes an alarm. */
export function createAlarm(): Alarm {
  let coming = new AbortController();
  return {
    ring() {
      const rung = coming;
      coming = new AbortController();
      rung.abort(new Error('the alarm rang'));
    },
    next: () => coming.signal,
  };
}

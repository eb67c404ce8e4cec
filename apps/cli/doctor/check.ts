/** The shape of what `skiff doctor` checks. */

/** How a check ended: `fail` means pods cannot run, `warn` that something optional is missing. */
export type Verdict = 'ok' | 'warn' | 'fail';

/** What a check found. */
export interface Finding {
  /** What was looked at: `conmon`. */
  name: string;
  verdict: Verdict;
  /** What was found, in a few words. */
  detail: string;
  /** What to do; on every finding that is not ok. */
  remedy?: string;
}

/** A check looks and never throws for what it looks for. */
export type Check = () => Promise<Finding[]>;

/** A finding that all is well. */
export function fine(name: string, detail: string): Finding {
  return { name, verdict: 'ok', detail };
}

/** A finding that something optional is missing. */
export function lacking(name: string, detail: string, remedy: string): Finding {
  return { name, verdict: 'warn', detail, remedy };
}

/** A finding that pods cannot run. */
export function broken(name: string, detail: string, remedy: string): Finding {
  return { name, verdict: 'fail', detail, remedy };
}

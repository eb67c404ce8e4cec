/** Prints results as lines of text. */
import { messageOf } from '#foundation/base/errors.ts';
import type { Reporter, Result } from './runner.ts';

const marks = { passed: 'ok', failed: 'FAILED', skipped: 'skipped', differs: 'differs' } as const;

/** A reporter that writes a line for each result, and why for those that did not pass. */
export function textReporter(write: (line: string) => void): Reporter {
  return ({ area, name, verdict, milliseconds }: Result) => {
    write(`${marks[verdict.kind].padEnd(8)} ${area}: ${name} (${Math.round(milliseconds)} ms)`);
    if (verdict.kind === 'skipped' || verdict.kind === 'differs') write(`         ${verdict.reason}`);
    if (verdict.kind === 'failed') {
      for (const line of messageOf(verdict.error).split('\n').slice(0, 12)) write(`         ${line}`);
    }
  };
}

/** Runs all cases as tests of one test, a line for each. */
import type { TestContext } from 'node:test';
import { readCases } from './case.ts';
import { runCases, type Stage, type Verdict } from './runner.ts';

/** How many pods live at once; `POD_CASES=TEXT` runs only the cases whose name contains the text. */
const atOnce = 24;

/**
 * Runs them at once, and tells of each in the order of the names.
 *
 * @param half only every other case: two files share what would take one too long on a busy machine.
 */
export async function testCases(t: TestContext, stage: Stage, half?: 0 | 1): Promise<void> {
  const cases = readCases(process.env.POD_CASES).filter((_, at) => half === undefined || at % 2 === half);
  const verdicts = new Map<string, Verdict>();
  await runCases(stage, cases, atOnce, (verdict) => verdicts.set(verdict.podCase.name, verdict));
  for (const { name, shows } of cases) {
    const verdict = verdicts.get(name);
    const skip = verdict?.missing.length ? `needs ${verdict.missing.join(', ')}` : false;
    const title = `${name}: ${shows} (${verdict?.seconds.toFixed(1)} s)`;
    await t.test(title, { skip }, () => {
      if (verdict?.failure !== undefined) throw new Error(verdict.failure);
    });
  }
}

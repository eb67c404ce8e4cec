/** Runs rules against a server and tells a reporter how each went. */
import { messageOf } from '#foundation/base/errors.ts';
import { createContext, type Session } from './context.ts';
import { differenceOf } from './differences.ts';
import { type Rule, Skipped } from './rule.ts';

/** How a rule went. */
export type Verdict =
  | { kind: 'passed' }
  | { kind: 'failed'; error: unknown }
  /** The machine or the runtime does not meet the rule's precondition. */
  | { kind: 'skipped'; reason: string }
  /** It failed, and the table of known differences says why this runtime does. */
  | { kind: 'differs'; reason: string; error: unknown };

/** A rule's result. */
export interface Result {
  area: string;
  name: string;
  verdict: Verdict;
  milliseconds: number;
}

/** Gets each result as it comes. */
export type Reporter = (result: Result) => void;

/** Runs the rules: those that bear company `concurrency` at a time, then the others one by one. */
export async function runRules(
  rules: readonly Rule[],
  session: Session,
  report: Reporter,
  concurrency: number,
): Promise<Result[]> {
  const results: Result[] = [];
  const run = async (rule: Rule) => {
    const result = await runRule(rule, session);
    results.push(result);
    report(result);
  };
  const queue = rules.filter((each) => !each.alone);
  const worker = async () => {
    for (let rule = queue.shift(); rule !== undefined; rule = queue.shift()) await run(rule);
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  for (const rule of rules.filter((each) => each.alone)) await run(rule);
  return results;
}

async function runRule(rule: Rule, session: Session): Promise<Result> {
  const start = performance.now();
  const verdict = await judge(rule, session);
  return { area: rule.area, name: rule.name, verdict, milliseconds: performance.now() - start };
}

async function judge(rule: Rule, session: Session): Promise<Verdict> {
  const known = differenceOf(rule, session.runtime, session.handler);
  try {
    if (known?.lethal) throw new Error('not run');
    await runCheck(rule, session);
    return { kind: 'passed' };
  } catch (error) {
    if (error instanceof Skipped) return { kind: 'skipped', reason: error.message };
    const explained = known !== undefined && (known.error?.test(messageOf(error)) ?? true);
    return explained ? { kind: 'differs', reason: known.reason, error } : { kind: 'failed', error };
  }
}

async function runCheck(rule: Rule, session: Session): Promise<void> {
  const timer = new AbortController();
  const late = Promise.withResolvers<never>();
  late.promise.catch(() => {});
  const timeoutMs = rule.timeoutMs * session.patience;
  const timeout = setTimeout(() => {
    timer.abort();
    // A moment later, so that what waits inside can tell what it waited for.
    setTimeout(() => late.reject(new Error(`not done within ${timeoutMs} ms`)), 1000);
  }, timeoutMs);
  const context = createContext(session, timer.signal);
  let failure: { error: unknown } | undefined;
  try {
    await Promise.race([rule.check(context), late.promise]);
  } catch (error) {
    failure = { error };
  }
  clearTimeout(timeout);
  try {
    await context[Symbol.asyncDispose]();
  } catch (error) {
    failure ??= { error: new Error(`The clean-up failed: ${messageOf(error)}`, { cause: error }) };
  }
  if (failure !== undefined) throw failure.error;
}

/** The verbs by name. Each is loaded when it is wanted: a command line must start quickly. */
import type { Context } from '../context.ts';

/** One verb. */
export interface Verb {
  /** @returns the exit code; 0 if none. */
  run(context: Context, args: readonly string[]): Promise<number | undefined>;
}

/** How to load each verb. */
export const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
  create: () => import('./create.ts'),
  start: () => import('./start.ts'),
  run: () => import('./run.ts'),
  exec: () => import('./exec.ts'),
  kill: () => import('./kill.ts'),
  delete: () => import('./delete.ts'),
  state: () => import('./state.ts'),
  list: () => import('./list.ts'),
  ps: () => import('./ps.ts'),
  pause: () => import('./pause.ts'),
  resume: () => import('./resume.ts'),
  update: () => import('./update.ts'),
  events: () => import('./events.ts'),
  stats: () => import('./stats.ts'),
  spec: () => import('./spec.ts'),
  features: () => import('./features.ts'),
  check: () => import('./check.ts'),
  factory: () => import('./factory.ts'),
  pod: () => import('./pod.ts'),
  checkpoint: () => import('./unsupported.ts'),
  restore: () => import('./unsupported.ts'),
  version: () => import('./version.ts'),
  help: () => import('./help.ts'),
};

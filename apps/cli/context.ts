/** What every verb is given: where things are, and where its output goes. */
import type { Writable } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { type Paths, pathsUnder } from '#foundation/base/paths.ts';
import { type Styles, stylesFor } from './output/styles.ts';

/** The options that every verb takes. */
export interface GlobalOptions {
  /** Another root than `/` for everything Skiff keeps. */
  root?: string;
}

/** The surroundings of one run of a verb. */
export interface Context {
  readonly paths: Paths;
  readonly out: Writable;
  readonly err: Writable;
  /** Whether a person is watching `out`. */
  readonly interactive: boolean;
  /** Columns of the terminal; 80 when there is none. */
  readonly width: number;
  readonly styles: Styles;
  /** Aborts on the first Ctrl-C or SIGTERM; a second one ends the process at once. */
  readonly interrupted: AbortSignal;
}

/** Makes the context of this process. The environment's NO_COLOR is read here and nowhere else. */
export function createContext(options: GlobalOptions): Context {
  const interactive = process.stdout.isTTY === true;
  const colour = interactive && (process.env.NO_COLOR ?? '') === '';
  return {
    paths: pathsUnder(options.root ?? '/'),
    out: process.stdout,
    err: process.stderr,
    interactive,
    width: process.stdout.columns || 80, // 0 where the terminal does not say.
    styles: stylesFor(colour),
    interrupted: interruption(),
  };
}

function interruption(): AbortSignal {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(new SkiffError('CANCELLED', `interrupted by ${signal}`));
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('SIGHUP', onSignal);
  return controller.signal;
}

/**
 * Refuses to go on without root.
 *
 * @param why what root is needed for: `to make namespaces, mounts and cgroups`.
 */
export function requireRoot(verb: string, why: string): void {
  if (process.getuid?.() === 0) return;
  throw new SkiffError(
    'PERMISSION_DENIED',
    `\`skiff ${verb}\` needs root ${why}: run \`sudo skiff ${verb} ...\``,
  );
}

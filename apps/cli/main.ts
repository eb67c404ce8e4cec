/** The entry of the command line: parses, runs one verb, turns what it throws into one line and an exit status. */
import { CommanderError } from 'commander';
import { codeRow, firstCause, isSkiffError, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { createProgram } from './program.ts';

/** The exit status of a failure: the error table's, or 70 (EX_SOFTWARE) for what nobody foresaw. */
function exitStatus(error: unknown): number {
  return isSkiffError(error) ? codeRow(error.code).exit : 70;
}

function report(error: unknown): void {
  const cause = firstCause(error);
  process.stderr.write(`skiff: ${messageOf(cause)}\n`);
  const debug = process.env.SKIFF_DEBUG !== undefined;
  if (cause instanceof Error && (debug || !(cause instanceof SkiffError)))
    process.stderr.write(`${cause.stack}\n`);
}

function fail(error: unknown): void {
  report(error);
  process.exitCode = exitStatus(error);
}

// A reader that went away (`skiff logs | head`) is an ordinary end.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
});

try {
  await createProgram().parseAsync(process.argv);
} catch (error) {
  // Commander has printed its own words already: the help (0), or what is wrong with the usage.
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? 0 : codeRow('INVALID_ARGUMENT').exit;
  else fail(error);
}

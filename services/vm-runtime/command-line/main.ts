/**
 * `skiff-vm`, the OCI runtime whose pods each live in a microVM: the command line of runc, a thin client of the pod's
 * supervisor.
 *
 *     skiff-vm [--root DIR] [--log FILE] [--log-format text|json] VERB ...
 */
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { flags, parseArguments, values } from './arguments.ts';
import type { Context } from './context.ts';
import { type LogTarget, logError } from './log.ts';
import { verbs } from './verbs/table.ts';

const globalOptions = [
  ...values('root', 'log', 'log-format', 'criu', 'rootless'),
  ...flags('debug', 'systemd-cgroup', 'version,v', 'help,h'),
];

/** Where the runtime keeps its state unless told. */
const defaultRoot = '/run/skiff-vm';
/** Where what is made once lies: guest images, the shim. */
const defaultCache = '/var/cache/skiff/vm';

/** The exit code of a verb that fails, as runc's; `exec` has one of its own. */
const failure = 1;
const execFailure = 255;

const log: LogTarget = { format: 'text' };

/** Runs one command line. @returns its exit code. */
async function main(args: readonly string[]): Promise<number> {
  const { options, words } = parseArguments(args, globalOptions, false);
  log.path = options.value('log');
  log.format = options.value('log-format') === 'json' ? 'json' : 'text';
  const context: Context = {
    root: options.value('root') ?? defaultRoot,
    cache: process.env.SKIFF_VM_CACHE ?? defaultCache,
    print: (text) => process.stdout.write(text),
  };
  const [name = 'help', ...rest] = options.flag('version') ? ['version'] : words;
  const verb = verbs[options.flag('help') ? 'help' : name];
  if (verb === undefined) throw new SkiffError('INVALID_ARGUMENT', `there is no command "${name}"`);
  return (await (await verb()).run(context, rest)) ?? 0;
}

const args = process.argv.slice(2);
try {
  process.exitCode = await main(args);
} catch (error) {
  logError(log, messageOf(error));
  process.exitCode = args.includes('exec') ? execFailure : failure;
}

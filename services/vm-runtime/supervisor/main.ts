/**
 * The supervisor's process: `main.ts POD_DIRECTORY CACHE_DIRECTORY`. One of a pod's lives at a time: it holds the lock.
 * It ends when nothing of the pod is left.
 */
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import { lockFile } from '#foundation/linux/file-lock.ts';
import { shimArguments } from '../command-line/shim.ts';
import { shimProgram } from '../shim/build.ts';
import { openLog } from './log.ts';
import { podPathsIn } from './paths.ts';
import { loadRecord, type PodConfig } from './records.ts';
import { startSupervisor } from './supervisor.ts';
import { podFactory } from './wiring.ts';

const [directory = '', cache = ''] = process.argv.slice(2);
const paths = podPathsIn(directory);

/** @returns the exit code when there is nothing to do; undefined when the supervisor runs. */
async function main(): Promise<number | undefined> {
  try {
    // Held until the process ends, however it ends.
    lockFile(paths.lock, 'another supervisor');
  } catch (error) {
    // Another one serves, or the pod is gone: whoever started this one looks for itself.
    if (isSkiffError(error, 'ALREADY_EXISTS', 'NOT_FOUND')) return 0;
    throw error;
  }
  const config = loadRecord<PodConfig>(paths.config);
  if (config === undefined) return 0;
  const say = openLog(paths.log);
  const factory = podFactory({ root: config.root, cache, say });
  // The last answers are on their way to their clients.
  const onOver = () => void supervisor.close().finally(() => process.exit(0));
  const carrier = async (container: string, exec: string, terminal: boolean) => [
    await shimProgram(cache),
    ...shimArguments({ cache }, { pod: paths, container, exec, terminal, foreground: true }),
  ];
  const supervisor = await startSupervisor({ paths, config, factory, say, carrier, onOver });
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void supervisor.end(`the supervisor was told to end by ${signal}`));
  // What nobody foresaw must not end the pod's containers; the next supervisor takes over from a clean state.
  process.on('uncaughtException', (error) => {
    say('something unforeseen happened', { error: error.stack ?? String(error) });
    process.exit(70);
  });
  return undefined;
}

try {
  const code = await main();
  if (code !== undefined) process.exit(code);
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exit(70);
}

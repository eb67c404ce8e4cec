/** `factory`: makes ready what pods' VMs are cloned from, and takes it away again. */
import { resolve } from 'node:path';
import { podFactory } from '../../supervisor/wiring.ts';
import { parseArguments, usage, values } from '../arguments.ts';
import type { Context } from '../context.ts';
import { defaultMemory } from '../pod.ts';

const MiB = 1024 * 1024;

/** `factory refill [--memory MIB] [--cpus N]`, `factory drain`. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const { options, words } = parseArguments(args, values('memory', 'cpus'), true);
  const memoryBytes = (options.number('memory') ?? defaultMemory / MiB) * MiB;
  const shape = { vcpus: options.number('cpus') ?? 1, memoryBytes };
  const factory = podFactory({
    root: resolve(context.root),
    cache: context.cache,
    say: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
    shapes: [shape],
  });
  if (words[0] === 'refill') await factory.refill();
  else if (words[0] === 'drain') await factory.drain();
  else throw usage('factory refill [--memory MIB] [--cpus N] | factory drain');
  return 0;
}

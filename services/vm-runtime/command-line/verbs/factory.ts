/** `factory`: makes ready what pods' VMs are taken or cloned from, and takes it away again. */
import { resolve } from 'node:path';
import { createSpawner } from '#foundation/linux/spawn.ts';
import type { VmShape } from '../../factory/index.ts';
import { podFactory } from '../../supervisor/wiring.ts';
import { lists, parseArguments, usage, values } from '../arguments.ts';
import type { Context } from '../context.ts';
import { defaultMemory } from '../pod.ts';

const MiB = 1024 * 1024;

const words = 'factory refill [--kind template|cache] [--waiting N] [--shape CPUSxMIB]... | factory drain';

/** `factory refill`, `factory drain`. */
export async function run(context: Context, args: readonly string[]): Promise<number> {
  const parsed = parseArguments(
    args,
    [...values('kind', 'waiting', 'memory', 'cpus'), ...lists('shape')],
    true,
  );
  const { options } = parsed;
  const kind = options.value('kind') ?? 'template';
  if (kind !== 'template' && kind !== 'cache') throw usage(words);
  const one = `${options.number('cpus') ?? 1}x${options.number('memory') ?? defaultMemory / MiB}`;
  const shapes = options.list('shape');
  // VMs that wait are its children, and are to outlive it.
  using spawner = createSpawner();
  const factory = podFactory({
    spawner,
    root: resolve(context.root),
    cache: context.cache,
    say: (message, fields) => void process.stderr.write(`${message} ${JSON.stringify(fields ?? {})}\n`),
    shapes: (shapes.length > 0 ? shapes : [one]).map(shapeOf),
    kind,
    waiting: options.number('waiting') ?? (kind === 'cache' ? 1 : 0),
  });
  if (parsed.words[0] === 'refill') await factory.refill();
  else if (parsed.words[0] === 'drain') await factory.drain();
  else throw usage(words);
  return 0;
}

function shapeOf(text: string): VmShape {
  const [, cpus, memory] = /^(\d{1,3})x(\d{2,7})$/.exec(text) ?? [];
  if (cpus === undefined) throw usage(`--shape ${text}: it must be CPUSxMIB, as 1x512`);
  return { vcpus: Number(cpus), memoryBytes: Number(memory) * MiB };
}

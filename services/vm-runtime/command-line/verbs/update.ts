/** `update`: changes limits of a container in the guest. */
import { readFileSync } from 'node:fs';
import type { SpecResources } from '#contracts/oci/runtime.ts';
import { wrapError } from '#foundation/base/errors.ts';
import { flags, type Options, parseArguments, usage, values } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';

const optionSpecs = [
  ...values(
    'resources,r', 'blkio-weight', 'cpu-period', 'cpu-quota', 'cpu-burst', 'cpu-rt-period', 'cpu-rt-runtime',
    'cpu-share', 'cpuset-cpus', 'cpuset-mems', 'memory', 'memory-reservation', 'memory-swap', 'pids-limit', 'cpu-idle',
  ),
  ...flags('l3-cache-schema'),
]; // biome-ignore format: a list reads better in few lines

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, optionSpecs, true);
  const [id] = words;
  if (id === undefined || words.length !== 1) throw usage('"container-id" is needed');
  const file = options.value('resources');
  const resources = file === undefined ? resourcesOf(options) : readResources(file);
  await withSupervisor(context, id, (client) =>
    client.updateContainer({ id, resources: JSON.stringify(resources) }),
  );
}

function readResources(file: string): SpecResources {
  try {
    return JSON.parse(readFileSync(file === '-' ? 0 : file, 'utf8')) as SpecResources;
  } catch (error) {
    throw wrapError(error, `Cannot read the resources in ${file}`);
  }
}

function resourcesOf(options: Options): SpecResources {
  const memory = {
    limit: options.number('memory'),
    reservation: options.number('memory-reservation'),
    swap: options.number('memory-swap'),
  };
  const cpu = {
    shares: options.number('cpu-share'),
    quota: options.number('cpu-quota'),
    period: options.number('cpu-period'),
  };
  const pids = options.number('pids-limit');
  return {
    ...(given(memory) ? { memory } : {}),
    ...(given(cpu) ? { cpu } : {}),
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

function given(values: Record<string, number | undefined>): boolean {
  return Object.values(values).some((value) => value !== undefined);
}

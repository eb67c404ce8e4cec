/** `kill`: sends a signal to a container's process, or to all of it. */
import { constants } from 'node:os';
import { SkiffError } from '#foundation/base/errors.ts';
import { flags, parseArguments, usage } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';
import { statusOf } from '../status.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, flags('all,a', 'force'), true);
  const [id, name = 'SIGTERM'] = words;
  if (id === undefined || words.length > 2) throw usage('"container-id" and at most a signal are needed');
  const signal = numberOf(name);
  const all = options.flag('all');
  await withSupervisor(context, id, async (client, record) => {
    if (statusOf(record) === 'stopped') {
      if (all) return;
      throw new SkiffError('FAILED_PRECONDITION', 'container not running');
    }
    await client.signal({ id, signal, all });
  });
}

/** Numbers and names, real-time ones as glibc counts them: signal(7). */
function numberOf(name: string): number {
  const known: Record<string, number> = constants.signals;
  const full = name.toUpperCase().startsWith('SIG') ? name.toUpperCase() : `SIG${name.toUpperCase()}`;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(full);
  const number = /^\d+$/.test(name)
    ? Number(name)
    : realTime === null
      ? (known[full] ?? 0)
      : (realTime[1] === 'MIN' ? 34 : 64) + Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`);
  if (number >= 1 && number <= 64) return number;
  throw usage(`unknown signal "${name}"`);
}

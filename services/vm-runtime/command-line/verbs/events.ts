/** `events`: a container's figures once (`--stats`) or every few seconds, and kills for want of memory between. */
import { EventKind } from '#contracts/vm/supervisor_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { flags, oneWord, parseArguments, usage, values } from '../arguments.ts';
import { type Context, type SupervisorClient, withSupervisor } from '../context.ts';
import { statsEvent } from '../figures.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, [...values('interval'), ...flags('stats')], true);
  const id = oneWord(words, 'container-id');
  const ms = intervalOf(options.value('interval') ?? '5s');
  await withSupervisor(context, id, async (client) => {
    if (options.flag('stats')) return printStats(context, client, id);
    const stop = new AbortController();
    const timer = setInterval(() => void printStats(context, client, id).catch(() => {}), ms);
    try {
      for await (const event of client.watchEvents({}, { signal: stop.signal })) {
        if (event.containerId !== id) continue;
        if (event.kind === EventKind.CONTAINER_OOM) context.print(`${JSON.stringify({ type: 'oom', id })}\n`);
        if (event.kind === EventKind.CONTAINER_EXITED || event.kind === EventKind.CONTAINER_DELETED) break;
      }
    } finally {
      clearInterval(timer);
      stop.abort();
    }
  });
}

/** Prints the figures of a container as one line. */
export async function printStats(context: Context, client: SupervisorClient, id: string): Promise<void> {
  const { containers } = await client.getStats({ id });
  const [stats] = containers;
  if (stats === undefined) throw new SkiffError('NOT_FOUND', `container "${id}" has no figures`);
  context.print(`${JSON.stringify(statsEvent(stats))}\n`);
}

/** Milliseconds of a Go duration: `5s`, `500ms`, `1m`. */
function intervalOf(text: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(number) * ({ ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[unit] ?? 0);
  if (!(ms > 0)) throw usage(`invalid interval "${text}"`);
  return ms;
}

/** `stats`: a container's figures, once. */
import { oneWord, parseArguments } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';
import { printStats } from './events.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const id = oneWord(parseArguments(args, [], true).words, 'container-id');
  await withSupervisor(context, id, (client) => printStats(context, client, id));
}

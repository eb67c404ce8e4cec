/** `start`: lets a created container's process go on to its program. */
import { oneWord, parseArguments } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const id = oneWord(parseArguments(args, [], true).words, 'container-id');
  await withSupervisor(context, id, (client) => client.startContainer({ id }));
}

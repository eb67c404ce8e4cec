/** `pause`: stops all processes of a container where they are. */
import { oneWord, parseArguments } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const id = oneWord(parseArguments(args, [], true).words, 'container-id');
  await withSupervisor(context, id, (client) => client.pause({ id }));
}

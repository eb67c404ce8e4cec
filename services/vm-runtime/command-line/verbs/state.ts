/** `state`: tells how a container stands, as JSON. */
import { oneWord, parseArguments } from '../arguments.ts';
import { type Context, recordOf } from '../context.ts';
import { describe } from '../describe.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const id = oneWord(parseArguments(args, [], true).words, 'container-id');
  context.print(`${JSON.stringify(describe(recordOf(context, id)), null, 2)}\n`);
}

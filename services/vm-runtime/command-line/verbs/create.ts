/** `create`: makes a container; `start` lets it go on. */
import { flags, oneWord, parseArguments, values } from '../arguments.ts';
import { type ContainerRequest, makeContainer } from '../container.ts';
import type { Context } from '../context.ts';

/** Options of `create`, and of `run` among others. */
export const createOptions = [
  ...values('bundle,b', 'console-socket', 'pid-file', 'preserve-fds'),
  ...flags('no-pivot', 'no-new-keyring'),
];

/** What the options ask for. */
export function createRequest(
  id: string,
  options: ReturnType<typeof parseArguments>['options'],
): ContainerRequest {
  const [consoleSocket, pidFile] = [options.value('console-socket'), options.value('pid-file')];
  return {
    id,
    bundle: options.value('bundle') ?? '.',
    preserveFds: options.number('preserve-fds') ?? 0,
    ...(consoleSocket === undefined || consoleSocket === '' ? {} : { consoleSocket }),
    ...(pidFile === undefined || pidFile === '' ? {} : { pidFile }),
  };
}

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, createOptions, true);
  await makeContainer(context, createRequest(oneWord(words, 'container-id'), options));
}

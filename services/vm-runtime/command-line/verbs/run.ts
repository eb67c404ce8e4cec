/** `run`: create, start, and unless `--detach` wait and delete; ends as the container does. */
import { constants } from 'node:os';
import type { Inheriting } from '#foundation/linux/daemon.ts';
import { flags, oneWord, parseArguments } from '../arguments.ts';
import { makeContainer } from '../container.ts';
import { type Context, withSupervisor } from '../context.ts';
import { createOptions, createRequest } from './create.ts';

export async function run(context: Context, args: readonly string[]): Promise<number> {
  const { options, words } = parseArguments(
    args,
    [...createOptions, ...flags('detach,d', 'keep', 'no-subreaper')],
    true,
  );
  const id = oneWord(words, 'container-id');
  const shim = await makeContainer(context, createRequest(id, options));
  const remove = () => withSupervisor(context, id, (client) => client.deleteContainer({ id, force: true }));
  try {
    await withSupervisor(context, id, (client) => client.startContainer({ id }));
  } catch (error) {
    await remove().catch(() => {});
    throw error;
  }
  if (options.flag('detach')) return 0;
  const code = await followed(shim);
  if (!options.flag('keep')) await remove();
  return code;
}

/** Waits for the container and passes on the signals that were meant for it. */
async function followed(shim: Inheriting): Promise<number> {
  const pass = (signal: NodeJS.Signals) => {
    try {
      process.kill(shim.pid, signal);
    } catch {
      // It has ended.
    }
  };
  const passed: NodeJS.Signals[] = [
    'SIGINT',
    'SIGTERM',
    'SIGHUP',
    'SIGQUIT',
    'SIGUSR1',
    'SIGUSR2',
    'SIGWINCH',
  ];
  for (const signal of passed) process.on(signal, pass);
  const { code, signal } = await shim.ended();
  for (const one of passed) process.off(one, pass);
  return signal === null ? code : 128 + constants.signals[signal];
}

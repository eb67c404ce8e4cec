/** `skiff exec`: runs a command in a container, with the streams of this process. */
import { connectRemoteCommand } from '#foundation/stream/remote-command/client.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { chooseContainer, findTarget } from '../node/targets.ts';
import { localTerminal } from '../output/terminal.ts';

interface Options {
  stdin?: boolean;
  tty?: boolean;
  container?: string;
}

/** Runs the command; this process ends with its exit code. */
export async function run(
  context: Context,
  name: string,
  command: string[],
  options: Options,
): Promise<void> {
  using cri = connectNode(context, 'exec');
  const container = chooseContainer(await findTarget(cri, name), options.container);
  const stdin = options.stdin === true;
  const tty = options.tty === true;
  const { url } = await cri.runtime.exec({
    containerId: container.id,
    cmd: command,
    stdin,
    stdout: true,
    stderr: !tty,
    tty,
  });
  using terminal = localTerminal({ raw: tty && stdin });
  const session = await connectRemoteCommand(url, {
    tty,
    stdin: stdin ? process.stdin : undefined,
    stdout: process.stdout,
    stderr: tty ? undefined : process.stderr,
    resizes: tty ? terminal.sizes() : undefined,
    signal: context.interrupted,
  });
  process.exitCode = await session.exitCode;
  // An open standard input would keep this process alive after the command has ended.
  if (stdin) process.stdin.destroy();
}

/** `skiff exec`: runs a command in a container, with the streams of this process. */
import { parseArgs } from 'node:util';
import { SkiffError } from '#foundation/base/errors.ts';
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
export async function run(context: Context, name: string, words: string[], options: Options): Promise<void> {
  const { cmd, container: wanted, stdin, tty } = commandLine(words, options);
  using cri = connectNode(context, 'exec');
  const container = chooseContainer(await findTarget(cri, name), wanted);
  const { url } = await cri.runtime.exec({
    containerId: container.id,
    cmd,
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

interface CommandLine {
  cmd: string[];
  container?: string;
  stdin: boolean;
  tty: boolean;
}

const known = ['stdin', 'tty', 'container'];

/**
 * What stands after the pod's name: kubectl's users put options there too, and `--` before the command.
 *
 * @throws SkiffError INVALID_ARGUMENT for an unknown option, or no command.
 */
export function commandLine(words: readonly string[], options: Options): CommandLine {
  const { tokens } = parseArgs({
    args: [...words],
    options: {
      stdin: { type: 'boolean', short: 'i' },
      tty: { type: 'boolean', short: 't' },
      container: { type: 'string', short: 'c' },
    },
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const end = tokens.find((each) => each.kind !== 'option');
  const start = end?.index ?? words.length;
  const cmd = words.slice(end?.kind === 'option-terminator' ? start + 1 : start);
  const given = tokens.filter((each) => each.kind === 'option').filter((each) => each.index < start);
  const unknown = given.find((each) => !known.includes(each.name));
  if (unknown !== undefined)
    throw new SkiffError('INVALID_ARGUMENT', `\`skiff exec\` has no option ${unknown.rawName}`);
  if (cmd.length === 0) {
    const usage = 'skiff exec POD [-it] [-c NAME] [--] COMMAND...';
    throw new SkiffError('INVALID_ARGUMENT', `say which command to run: ${usage}`);
  }
  const has = (name: string) => given.some((each) => each.name === name);
  return {
    cmd,
    container: given.find((each) => each.name === 'container')?.value ?? options.container,
    stdin: options.stdin === true || has('stdin'),
    tty: options.tty === true || has('tty'),
  };
}

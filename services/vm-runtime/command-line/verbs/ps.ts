/** `ps`: the processes of a container, as the guest numbers them. */
import { parseArguments, usage, values } from '../arguments.ts';
import { type Context, withSupervisor } from '../context.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options, words } = parseArguments(args, values('format,f'), true);
  const [id] = words;
  if (id === undefined) throw usage('"container-id" is needed');
  const { processes } = await withSupervisor(context, id, (client) => client.listProcesses({ id }));
  if (options.value('format') === 'json') {
    context.print(`${JSON.stringify(processes.map(({ pid }) => pid))}\n`);
    return;
  }
  const rows = processes.map(({ uid, pid, parent, command }) => [uid, pid, parent, command].map(String));
  const line = ([uid = '', pid = '', parent = '', command = '']: readonly string[]) =>
    `${uid.padEnd(9)}${pid.padStart(7)} ${parent.padStart(7)} ${command}\n`;
  context.print([['UID', 'PID', 'PPID', 'CMD'], ...rows].map(line).join(''));
}

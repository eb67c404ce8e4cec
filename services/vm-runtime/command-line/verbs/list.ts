/** `list`: all containers of the root. */
import { listContainerRecords } from '../../supervisor/records.ts';
import { flags, parseArguments, usage, values } from '../arguments.ts';
import type { Context } from '../context.ts';
import { type Description, describe } from '../describe.ts';

export async function run(context: Context, args: readonly string[]): Promise<undefined> {
  const { options } = parseArguments(args, [...values('format,f'), ...flags('quiet,q')], true);
  const containers = listContainerRecords(context.root).map(describe);
  const format = options.value('format') ?? 'table';
  if (format !== 'table' && format !== 'json') throw usage('invalid format option');
  if (options.flag('quiet')) context.print(containers.map(({ id }) => `${id}\n`).join(''));
  else context.print(format === 'json' ? `${JSON.stringify(containers)}\n` : table(containers));
}

function table(containers: readonly Description[]): string {
  const rows = containers.map(({ id, pid, status, bundle, created, owner }) => {
    return [id, String(pid), status, bundle, created, owner || 'root'];
  });
  const all = [['ID', 'PID', 'STATUS', 'BUNDLE', 'CREATED', 'OWNER'], ...rows];
  const widths = all[0]?.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0))) ?? [];
  return all
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

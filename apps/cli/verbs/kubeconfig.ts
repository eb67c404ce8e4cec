/** `skiff kubeconfig`: where kubectl finds the embedded API. */
import { readFileSync } from 'node:fs';
import { SkiffError } from '#foundation/base/errors.ts';
import { type Context, requireRoot } from '../context.ts';
import { notRunning } from '../node/cri.ts';
import { readNodeInfo } from '../node/info.ts';

/** Prints the administrator's kubeconfig, or its path. */
export async function run(context: Context, options: { path?: boolean }): Promise<void> {
  requireRoot('kubeconfig', "to read the administrator's key");
  const info = readNodeInfo(context.paths);
  if (info === undefined) throw notRunning(context);
  if (info.kubeconfig === undefined)
    throw new SkiffError('FAILED_PRECONDITION', 'this node runs without an API');
  context.out.write(options.path === true ? `${info.kubeconfig}\n` : readFileSync(info.kubeconfig, 'utf8'));
}

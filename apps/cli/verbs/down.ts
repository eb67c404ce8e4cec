/** `skiff down`: ends what `skiff up` started. */
import type { Context } from '../context.ts';
import { requireRoot } from '../context.ts';
import { connectApi } from '../node/api.ts';
import { readKilledNode, readNodeInfo } from '../node/info.ts';
import { ensureNode } from '../node/start.ts';
import { readManifests } from '../up/manifests.ts';
import { deleteObjects, managedObjects, stopIdleNode } from '../up/teardown.ts';
import { parseSeconds } from './stop.ts';

/** Deletes the objects of the manifests, or all that `up` made, and stops the node with the last of them. */
export async function run(context: Context, files: string[], options: { grace?: string }): Promise<void> {
  requireRoot('down', 'to end pods');
  if (readNodeInfo(context.paths) === undefined && !(await reviveNode(context))) return;
  const grace = options.grace === undefined ? undefined : parseSeconds(options.grace);
  await using api = connectApi(context);
  const objects = files.length > 0 ? readManifests(files) : await managedObjects(api);
  for (const each of objects) context.err.write(`ending ${each.kind.toLowerCase()}/${each.metadata.name}\n`);
  await deleteObjects(api, objects, grace, context.interrupted);
  if (await stopIdleNode(context, api)) context.err.write('the node has ended\n');
}

/** A node that was killed left its pods running: only a node can end them. */
async function reviveNode(context: Context): Promise<boolean> {
  if (readKilledNode(context.paths) === undefined) {
    context.err.write('skiff: no node runs here: nothing to end\n');
    return false;
  }
  context.err.write('the node was killed; starting it to end its pods\n');
  await ensureNode(context);
  return true;
}

/** `skiff pods`: the pods of this node, as the kubelet sees them. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { Context } from '../context.ts';
import { requireNode } from '../node/cri.ts';
import { readPods } from '../node/kubelet.ts';
import { podRow, podTable } from '../output/pod-table.ts';

/** Prints pods, by namespace and name. */
export async function run(context: Context, options: { json?: boolean }): Promise<void> {
  requireNode(context, 'pods');
  const pods = (await readPods(context)).sort(byName);
  if (options.json === true) context.out.write(`${JSON.stringify(pods)}\n`);
  else context.out.write(`${podTable(context.styles, pods.map(podRow)).join('\n')}\n`);
}

function byName(a: Pod, b: Pod): number {
  const key = (pod: Pod) => `${pod.metadata?.namespace}/${pod.metadata?.name}`;
  return key(a).localeCompare(key(b));
}

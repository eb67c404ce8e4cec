/** Finds what a path names: a pod, a running container of it. */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletView } from '../../ports.ts';

/** The pod that `namespace`, `pod` and `uid` of a path name. @throws SkiffError NOT_FOUND. */
export function podOf(view: Pick<KubeletView, 'find'>, params: Readonly<Record<string, string>>): Pod {
  const { namespace = '', pod: name = '', uid } = params;
  const found = view.find(namespace, name, uid);
  if (found !== undefined) return found;
  throw new SkiffError('NOT_FOUND', `pod does not exist: "${namespace}/${name}"`);
}

/** The CRI id of the container of a path. @throws SkiffError NOT_FOUND, also if it does not run. */
export async function runningContainer(
  view: Pick<KubeletView, 'find' | 'containerId'>,
  params: Readonly<Record<string, string>>,
): Promise<{ pod: Pod; id: string }> {
  const pod = podOf(view, params);
  const container = params.container ?? '';
  const { id, running } = await view.containerId(pod, container);
  if (running) return { pod, id };
  throw new SkiffError('NOT_FOUND', `container not found ("${container}"): it is not running`);
}

/** The end of a whole kubelet in a test: no cgroup of its pods is left, also of those that a crash would leave. */
import { removeCgroup } from '#foundation/linux/cgroups.ts';
import type { Kubelet } from '../kubelet.ts';

export async function endKubelet(kubelet: Kubelet): Promise<void> {
  await kubelet.stop();
  const { resources, layout, podsCgroup } = kubelet.parts;
  for (const uid of await resources.podCgroups()) await resources.removePodCgroup(uid);
  await removeCgroup(layout, podsCgroup());
}

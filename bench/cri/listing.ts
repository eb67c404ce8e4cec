/** How long ListContainers takes with many containers, which need not run. */
import { removeAllPods } from '../peers/peer.ts';
import { median } from '../statistics.ts';
import { containerConfig, podConfig } from './lives.ts';
import type { Contestant } from './set-up.ts';

/** Makes `count` containers in one pod, 8 at a time. @returns the median of 50 calls in milliseconds. */
export async function listing({ cri, image }: Contestant, count: number): Promise<number> {
  const sandboxConfig = podConfig('listing');
  const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandboxConfig });
  let made = 0;
  const maker = async () => {
    while (made < count) {
      made += 1;
      const config = {
        ...containerConfig(image, `c${made}`),
        labels: labels(made),
        annotations: labels(made),
      };
      await cri.runtime.createContainer({ podSandboxId, sandboxConfig, config });
    }
  };
  await Promise.all(Array.from({ length: 8 }, maker));
  const times: number[] = [];
  for (let index = 0; index < 50; index += 1) {
    const start = performance.now();
    const { containers } = await cri.runtime.listContainers({});
    times.push(performance.now() - start);
    if (containers.length !== count)
      throw new Error(`${containers.length} containers are listed, not ${count}`);
  }
  await removeAllPods(cri);
  return median(times);
}

/** As many as a kubelet gives each container. */
function labels(index: number): Record<string, string> {
  const name = `io.kubernetes.container.name`;
  return { [name]: `c${index}`, 'io.kubernetes.pod.name': 'listing', 'io.kubernetes.pod.namespace': 'bench' };
}

/** What an idle pod with one container costs in memory: the server's growth and every helper process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { proportionalSetSize, removeAllPods } from '../peers/peer.ts';
import { containerConfig, podConfig } from './lives.ts';
import type { Contestant } from './set-up.ts';

const mib = 1024 * 1024;

/** Starts `count` pods and lets them rest. @returns MiB per pod; the containers' own processes do not count. */
export async function memoryPerPod({ peer, cri, image }: Contestant, count: number): Promise<number> {
  await sleep(2000);
  const before = total(peer.processes());
  for (let index = 0; index < count; index += 1) {
    const sandboxConfig = podConfig('memory');
    const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandboxConfig });
    const request = { podSandboxId, sandboxConfig, config: containerConfig(image) };
    const { containerId } = await cri.runtime.createContainer(request);
    await cri.runtime.startContainer({ containerId });
  }
  await sleep(3000);
  const after = total(peer.processes());
  await removeAllPods(cri);
  return (after - before) / mib / count;
}

function total(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + proportionalSetSize(pid), 0);
}

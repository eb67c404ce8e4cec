/** What an idle pod with one container costs in memory: the server's growth and every helper process. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Peer, proportionalSetSize, removeAllPods } from '../peers/peer.ts';
import { containerConfig, podConfig } from './lives.ts';
import type { Contestant } from './set-up.ts';

const mib = 1024 * 1024;

/**
 * Starts `count` pods and lets them rest. @returns MiB per pod; the containers' own processes do not count, and a
 * server that gave memory back meanwhile counts as one that did not grow.
 */
export async function memoryPerPod({ peer, cri, image }: Contestant, count: number): Promise<number> {
  await sleep(3000);
  const before = measure(peer);
  for (let index = 0; index < count; index += 1) {
    const sandboxConfig = podConfig('memory');
    const { podSandboxId } = await cri.runtime.runPodSandbox({ config: sandboxConfig });
    const request = { podSandboxId, sandboxConfig, config: containerConfig(image) };
    const { containerId } = await cri.runtime.createContainer(request);
    await cri.runtime.startContainer({ containerId });
  }
  await sleep(3000);
  const after = measure(peer);
  await removeAllPods(cri);
  const growth = Math.max(0, after.server - before.server) + after.helpers - before.helpers;
  return growth / mib / count;
}

/** Bytes of the server and of all its helpers. */
function measure(peer: Peer): { server: number; helpers: number } {
  const helpers = peer.processes().filter((pid) => pid !== peer.pid);
  return {
    server: proportionalSetSize(peer.pid),
    helpers: helpers.reduce((sum, pid) => sum + proportionalSetSize(pid), 0),
  };
}

/**
 * Skiff's kubelet and CRI server in one process, as `skiff node` has them, without an API: `node-process.ts ROOT
 * CNI_CONFIG_DIRECTORY`. Static pods come from ROOT/manifests. Asked by message how many pods must run, it answers
 * with the time when they did; it ends when it is disconnected or told `stop`.
 */
import { join } from 'node:path';
import { connectCri } from '#contracts/cri/client.ts';
import { createLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { removeCgroup } from '#foundation/linux/cgroups.ts';
import { collectWhenIdle } from '#foundation/linux/idle-heap.ts';
import { createCriServer } from '#services/cri-server/server.ts';
import { loadConfiguration } from '#services/kubelet/configuration/load.ts';
import { createKubelet } from '#services/kubelet/kubelet.ts';
import { quietKubelet } from '#services/kubelet/testing/quiet.ts';
import { pluginDirectory } from '../peers/network.ts';

const [, , root = '', configDir = ''] = process.argv;
const paths = pathsUnder(root);
const log = createLogger('warn');
const server = createCriServer({
  paths,
  version: '0.0.0-bench',
  log,
  cni: { configDir, binDirs: [pluginDirectory], writeDefault: false },
});
await server.listen();
const cri = connectCri(`unix://${paths.criSocket}`);
const overrides = {
  ...quietKubelet,
  staticPodPath: join(root, 'manifests'),
  failCgroupV1: false,
  maxPods: 200,
  imageGCHighThresholdPercent: 100,
};
const kubelet = createKubelet({
  paths,
  cri,
  configuration: loadConfiguration({ overrides }),
  clock: systemClock,
  logger: log,
  nodeName: 'node1',
});
await kubelet.start();
const idle = collectWhenIdle();

function counted(): { running: number; known: number } {
  const pods = kubelet.services.view.pods();
  const running = pods.filter(
    ({ status }) =>
      status?.phase === 'Running' &&
      status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
  ).length;
  return {
    running,
    known: pods.length + (pods.length === 0 ? kubelet.services.view.runningPods().length : 0),
  };
}

/** Looks every 2 ms, which costs little for so few pods. */
function wait(wanted: number): void {
  const { running, known } = counted();
  const done = wanted === 0 ? known === 0 : running >= wanted;
  if (done) process.send?.({ at: performance.timeOrigin + performance.now() });
  else setTimeout(() => wait(wanted), 2);
}

async function stop(): Promise<void> {
  idle[Symbol.dispose]();
  await kubelet.stop();
  await removeCgroup(kubelet.parts.layout, kubelet.parts.podsCgroup());
  cri.close();
  await server.close();
  process.exit(0);
}

/** The sum over all pods and results. */
async function probesSoFar(): Promise<number> {
  const text = await kubelet.services.view.metrics.metrics();
  const lines = text.split('\n').filter((line) => line.startsWith('prober_probe_total{'));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

process.on('message', (message: { pods?: number; stop?: boolean; heap?: boolean; probes?: boolean }) => {
  if (message.stop === true) void stop();
  else if (message.heap === true) process.send?.({ heap: process.memoryUsage() });
  else if (message.probes === true) void probesSoFar().then((probes) => process.send?.({ probes }));
  else wait(message.pods ?? 0);
});
process.once('disconnect', () => void stop());
process.send?.({ ready: true });

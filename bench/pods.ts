/**
 * Measures pods on Skiff's kubelet with Skiff's CRI server in one process: `node bench/pods.ts [--rounds N]
 * [--pods N] [--seconds N] [--only start|idle|probes|http|tcp|grpc|exec] [--cpu-prof DIR] [--flag FLAG...]`; flags are
 * Node's, for the node.
 *
 * - start: from writing static manifests to the last pod Running and Ready; 1 pod, 30 pods; medians;
 * - idle: what so many idle pods cost, in percent of one core, and the memory they take;
 * - probes: what a probe a second of each pod costs, for each kind, and how far probes stray from their beat. Commands
 *   are processes: what these cost is told apart from what kubelet and CRI server do for them.
 *
 * Processor time is that of the node and of all that it started and waited for (proc_pid_stat(5)).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startRegistry } from '../conformance/cri/images/registry.ts';
import { testImages } from '../conformance/cri/images/test-images.ts';
import { type BenchNode, startNode } from './pods/node.ts';
import { type ProbeKind, probeKinds, startProbed } from './pods/probed.ts';
import { median } from './statistics.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    pods: { type: 'string', default: '110' },
    seconds: { type: 'string', default: '60' },
    only: { type: 'string' },
    'cpu-prof': { type: 'string' },
    flag: { type: 'string', multiple: true, default: [] },
  },
});
const [rounds, pods, seconds] = [Number(values.rounds), Number(values.pods), Number(values.seconds)];
const wants = (part: string) => values.only === undefined || values.only === part;

await using registry = await startRegistry();
const { base } = testImages();
if (base === undefined) throw new Error('no image to run');
const image = registry.publish('bench/base:1', base);
const sleeping = () => ({
  terminationGracePeriodSeconds: 0,
  containers: [{ name: 'main', image, command: ['sleep', '1000000'] }],
});

// The very first start fills the cache of compiled code.
await (await startNode())[Symbol.asyncDispose]();
await using node = await startNode(values['cpu-prof'], values.flag);
await node.run('warm', 1, sleeping); // Pulls the image.
await node.clear();
await sleep(5000); // In its first quiet second the server rehearses a pull, once (cri-server/images/rehearse.ts).

function tell(what: string, value: string, target: string): void {
  console.log(`${what.padEnd(52)} ${value.padStart(12)}   target ${target}`);
}

/** Percent of one core that the node used meanwhile. */
async function share(ms: number): Promise<number> {
  const before = node.cpuMs();
  const start = performance.now();
  await sleep(ms);
  return ((node.cpuMs() - before) / (performance.now() - start)) * 100;
}

async function starts({ run, clear, cpuMs }: BenchNode, count: number, target: string): Promise<void> {
  const times: number[] = [];
  const cpus: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = cpuMs();
    // New names: a pod that comes back under its UID is a restart, with its back-off.
    times.push(await run(`start-${count}-${round}`, count, sleeping));
    cpus.push(cpuMs() - before);
    await clear();
  }
  tell(`${count} pods Running, median of ${rounds}`, `${median(times).toFixed(0)} ms`, target);
  tell('  the quickest', `${Math.min(...times).toFixed(0)} ms`, target);
  tell('  processor time, median', `${median(cpus).toFixed(0)} ms`, '-');
}

if (wants('start')) {
  await starts(node, 1, '100 ms');
  await starts(node, 30, '2500 ms');
}

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;

if (wants('idle')) {
  tell(`${pods} pods Running`, `${(await node.run('idle', pods, sleeping)).toFixed(0)} ms`, '-');
  await sleep(5000);
  tell(
    `${pods} idle pods, of one core, over ${seconds} s`,
    `${(await share(seconds * 1000)).toFixed(2)} %`,
    '3 %',
  );
  const { node: own, helpers } = node.memory();
  tell(`memory of kubelet and runtime with ${pods} pods (PSS)`, mb(own), '200 MB');
  const { heapUsed, heapTotal } = await node.heap();
  tell("  of it V8's heap, in use", `${mb(heapUsed)}`, '-');
  tell('  and held', `${mb(heapTotal)}`, '-');
  tell(`  with their ${pods} conmon processes`, mb(own + helpers), '-');
  await node.clear();
}

/** One kind of probe: what a round a second costs, and how far probes stray from their beat. */
async function probes(kind: ProbeKind): Promise<void> {
  await using probed = await startProbed(kind, pods, node.subnet);
  const [container] = sleeping().containers;
  await node.run(`probed-${kind}`, pods, (index) => ({
    ...sleeping(),
    containers: [
      { ...container, readinessProbe: { ...probed.handler(index), periodSeconds: 1, timeoutSeconds: 5 } },
    ],
  }));
  await sleep(5000);
  probed.reset();
  const [own, count] = [node.ownCpuMs(), await node.probes()];
  const start = performance.now();
  const all = await share(seconds * 1000);
  const elapsed = performance.now() - start;
  const ownShare = ((node.ownCpuMs() - own) / elapsed) * 100;
  const done = (await node.probes()) - count;
  const commands = kind === 'exec';
  tell(
    `${kind}: a probe a second of ${pods} pods, of one core`,
    `${ownShare.toFixed(2)} %`,
    commands ? '-' : '10 %',
  );
  if (commands) tell('  with the processes that run the commands', `${all.toFixed(2)} %`, '-');
  tell(
    `  ${done} probes of ${pods * seconds}, each`,
    `${((ownShare * elapsed) / 100 / done).toFixed(2)} ms`,
    '-',
  );
  const strays = probed.deviations(1000);
  if (strays !== undefined) {
    tell('  median distance from the beat', `${strays.median.toFixed(1)} ms`, '-');
    tell('  the worst', `${strays.worst.toFixed(1)} ms`, '-');
    tell(`  of the last ones, after ${seconds} s`, `${strays.drift.toFixed(1)} ms`, 'no more: no drift');
  }
  await node.clear();
}

for (const kind of probeKinds) if (wants('probes') || values.only === kind) await probes(kind);

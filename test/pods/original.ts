/**
 * The original kubelet as the judge of the cases: starts a kubelet program and a runtime, each with a directory of its
 * own, and runs every case. What fails here is wrong in the case, or in what we think that the original does.
 *
 *     node test/pods/original.ts --kubelet /path/to/kubelet [--runtime skiff|containerd] [--only TEXT] [--at-once N]
 *
 * Written for Kubernetes 1.36 without an API server. Exit status 1 if a case failed.
 */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort } from '#foundation/base/free-port.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { startContainerd } from '../../bench/peers/containerd.ts';
import { startSkiff } from '../../bench/peers/skiff.ts';
import { type Facility, facilities, readCases } from './case.ts';
import { logFileEvents } from './event-log.ts';
import { startImages } from './images.ts';
import { openKubelet } from './kubelet-client.ts';
import { runCases } from './runner.ts';

const { values } = parseArgs({
  options: {
    kubelet: { type: 'string' },
    runtime: { type: 'string', default: 'skiff' },
    only: { type: 'string', default: '' },
    'at-once': { type: 'string', default: '12' },
  },
});
if (values.kubelet === undefined) {
  console.error('--kubelet FILE is missing: the program to be the judge');
  process.exit(64);
}

/** What the original does not do without an API server: it crashes on a runtime class, and mounts nothing projected. */
const lacking: Facility[] = ['static-runtime-class', 'projected-without-api'];

/** What containerd 1.6 does not have. */
const lackingThere: Facility[] = ['image-volumes', 'user-namespaces', 'strict-groups'];

await using stack = new AsyncDisposableStack();
const root = mkdtempSync('/tmp/skiff-orig-');
chmodSync(root, 0o711);
stack.defer(() => {
  unmountTree(root);
  rmSync(root, { recursive: true, force: true });
});
const group = basename(root);
stack.defer(() => groups(group).reverse().forEach(removeEmpty));
const registry = stack.use(await startImages());
const onContainerd = values.runtime === 'containerd';
const runtime = stack.use(onContainerd ? await startContainerd(registry) : await startSkiff());
const [port, healthzPort] = [await freePort(), await freePort()];
const log = join(root, 'kubelet.log');
for (const name of ['manifests', 'files']) mkdirSync(join(root, name));
for (const path of groups(group)) makeGroup(path);
writeFileSync(join(root, 'config.yaml'), configuration());
const output = openSync(log, 'a');
const options = ['--config', join(root, 'config.yaml'), '--root-dir', join(root, 'kubelet')];
const more = ['--cert-dir', join(root, 'pki'), '--hostname-override', 'node1', '-v=3'];
const child = spawn(values.kubelet, [...options, ...more], { stdio: ['ignore', output, output] });
const ended = new Promise((resolve) => child.once('exit', resolve));
stack.defer(async () => {
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(10_000).then(() => child.kill('SIGKILL'))]);
});
await healthy();
const kubelet = stack.use(openKubelet({ url: `https://127.0.0.1:${port}` }));
const without = new Set<Facility>([...lacking, ...(onContainerd ? lackingThere : [])]);
const stage = {
  kubelet,
  manifests: join(root, 'manifests'),
  files: join(root, 'files'),
  registry: registry.host,
  events: logFileEvents(log),
  facilities: new Set(facilities.filter((each) => !without.has(each))),
  patience: 120,
};
const verdicts = await runCases(stage, readCases(values.only), Number(values['at-once']), (verdict) => {
  const { podCase, failure, missing, seconds } = verdict;
  if (missing.length > 0) console.log(`-    ${podCase.name}: needs ${missing.join(', ')}`);
  else if (failure === undefined) console.log(`ok   ${podCase.name} (${seconds.toFixed(1)} s)`);
  else console.log(`FAIL ${podCase.name}: ${podCase.shows}\n  ${failure}`);
});
const failed = verdicts.filter(({ failure }) => failure !== undefined).length;
const left = verdicts.filter(({ missing }) => missing.length > 0).length;
console.log(`${verdicts.length - failed - left} as wanted, ${failed} failed, ${left} left out`);
process.exitCode = failed > 0 ? 1 : 0;

/** The same as Skiff's kubelet has in the tests, with cgroups and directories of its own. */
function configuration(): string {
  return JSON.stringify({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: '127.0.0.1',
    port,
    healthzPort,
    readOnlyPort: 0,
    failCgroupV1: false,
    failSwapOn: false,
    cgroupRoot: `/${group}`,
    enforceNodeAllocatable: ['none'],
    serializeImagePulls: false,
    // All cases pull at once: the limit is no case's business.
    registryPullQPS: 0,
    makeIPTablesUtilChains: false,
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    featureGates: { KubeletCrashLoopBackOffMax: true },
    crashLoopBackOff: { maxContainerRestartPeriod: '3s' },
    evictionHard: { 'memory.available': '1Mi' },
    imageGCHighThresholdPercent: 100,
    staticPodPath: join(root, 'manifests'),
    podLogsDir: join(root, 'logs'),
    containerRuntimeEndpoint: runtime.endpoint,
  });
}

/** A group of one name in the hierarchy, or in each. */
function groups(name: string): string[] {
  const top = '/sys/fs/cgroup';
  if (existsSync(join(top, 'cgroup.controllers'))) return [join(top, name)];
  return readdirSync(top)
    .filter((each) => existsSync(join(top, each, 'cgroup.procs')))
    .map((each) => join(top, each, name));
}

/** Version 1 gives a new group no CPUs and no memory nodes. */
function makeGroup(path: string): void {
  mkdirSync(path, { recursive: true });
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const above = join(path, '..', file);
    if (existsSync(above) && existsSync(join(path, file)))
      writeFileSync(join(path, file), readFileSync(above));
  }
}

/** The kubelet leaves its groups behind. */
function removeEmpty(path: string): void {
  if (!existsSync(path)) return;
  for (const each of readdirSync(path, { withFileTypes: true }))
    if (each.isDirectory()) removeEmpty(join(path, each.name));
  try {
    rmdirSync(path);
  } catch (error) {
    console.error(`cannot remove ${path}: ${(error as Error).message}`);
  }
}

async function healthy(): Promise<void> {
  for (const end = performance.now() + 60_000; performance.now() < end; await sleep(200)) {
    if (child.exitCode !== null) break;
    const answer = await fetch(`http://127.0.0.1:${healthzPort}/healthz`).catch(() => undefined);
    if (answer?.ok === true) return;
  }
  throw new Error(`The kubelet does not become healthy:\n${readFileSync(log, 'utf8').slice(-2000)}`);
}

/** A whole kubelet has the metrics that dashboards look for, by name and type (kubelet-facts 12). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { connectCri } from '#contracts/cri/client.ts';
import { freePort } from '#foundation/base/free-port.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { systemClock } from '#foundation/base/time.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import { loadConfiguration } from './configuration/load.ts';
import { createKubelet } from './kubelet.ts';
import { endKubelet } from './testing/end-kubelet.ts';
import { quietKubelet } from './testing/quiet.ts';
import { startScriptedRuntime } from './testing/scripted-runtime.ts';

/** Names without their `kubelet_`. */
const wanted = {
  counter: [
    'orphaned_runtime_pods_total',
    'restarted_pods_total',
    'started_pods_total',
    'started_pods_errors_total',
    'started_containers_total',
    'started_containers_errors_total',
    'pleg_discard_events',
    'runtime_operations_total',
    'runtime_operations_errors_total',
    'evictions',
    'admission_rejections_total',
    'http_requests_total',
  ],
  gauge: [
    'running_pods',
    'running_containers',
    'desired_pods',
    'active_pods',
    'mirror_pods',
    'working_pods',
    'pleg_last_seen_seconds',
    'node_name',
    'volume_stats_capacity_bytes',
    'volume_stats_available_bytes',
    'volume_stats_used_bytes',
  ],
  histogram: [
    'pod_start_duration_seconds',
    'pod_start_sli_duration_seconds',
    'pod_status_sync_duration_seconds',
    'pod_worker_start_duration_seconds',
    'pod_worker_duration_seconds',
    'cgroup_manager_duration_seconds',
    'pleg_relist_duration_seconds',
    'pleg_relist_interval_seconds',
    'runtime_operations_duration_seconds',
    'run_podsandbox_duration_seconds',
    'eviction_stats_age_seconds',
    'image_pull_duration_seconds',
  ],
};

async function get(port: number, path: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  http
    .get({ host: '127.0.0.1', port, path, agent: false }, async (response) => {
      resolve(Buffer.concat(await response.toArray()).toString());
    })
    .on('error', reject);
  return promise;
}

test('metrics of a kubelet with a pod', async (context) => {
  await using stack = new AsyncDisposableStack();
  const outer = mkdtempSync('/tmp/skiff-met-');
  stack.defer(() => {
    unmountTree(outer);
    rmSync(outer, { recursive: true, force: true });
  });
  const manifests = join(outer, 'manifests');
  mkdirSync(manifests);
  mkdirSync(join(outer, 'root'));
  const socket = join(outer, 'cri.sock');
  stack.use(await startScriptedRuntime(socket));
  const cri = connectCri(socket);
  stack.defer(() => cri.close());
  const kubelet = createKubelet({
    paths: pathsUnder(join(outer, 'root')),
    cri,
    configuration: loadConfiguration({
      overrides: {
        ...quietKubelet,
        staticPodPath: manifests,
        // 0 would be none; any free port serves.
        readOnlyPort: await freePort(),
      },
    }),
    clock: systemClock,
    logger: silentLogger,
    nodeName: 'n',
  });
  await kubelet.start();
  stack.defer(() => endKubelet(kubelet));
  const probe = { exec: { command: ['x'] }, periodSeconds: 1 };
  const containers = [{ name: 'c', image: 'i:1', command: ['x'], readinessProbe: probe }];
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers } };
  writeFileSync(join(manifests, 'p.json'), JSON.stringify(pod));
  const port = kubelet.ports().get('readonly') ?? 0;
  const ready = () =>
    kubelet.services.view
      .find('default', 'p-n')
      ?.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True');
  for (const end = Date.now() + 120_000; ready() !== true; await wait(20))
    assert.ok(Date.now() < end, 'the pod is not ready');
  const text = await get(port, '/metrics');
  for (const [type, names] of Object.entries(wanted))
    for (const name of names)
      await context.test(`${type} kubelet_${name}`, () =>
        assert.match(text, new RegExp(`^# TYPE kubelet_${name} ${type}$`, 'm')),
      );
  for (const [what, line] of [
    ['the pod', /^kubelet_running_pods 1$/m],
    ['its containers', /^kubelet_running_containers\{container_state="running"\} 1$/m],
    ['what it is to run', /^kubelet_desired_pods\{static="true"\} 1$/m],
    ['calls of the runtime', /^kubelet_runtime_operations_total\{operation_type="create_container"\} 1$/m],
    ['started containers', /^kubelet_started_containers_total\{container_type="container"\} 1$/m],
    ['the node', /^kubelet_node_name\{node="n"\} 1$/m],
  ] as const)
    await context.test(`counts ${what}`, () => assert.match(text, line));
  await context.test('counts probes', async () =>
    assert.match(
      await get(port, '/metrics/probes'),
      /^prober_probe_total\{probe_type="Readiness",result="successful",container="c",pod="p-n",namespace="default",pod_uid="\w+"\} \d/m,
    ),
  );
});

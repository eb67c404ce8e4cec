import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { createRegistry } from '#foundation/base/metrics.ts';
import { createPodMetrics, registerWorkGauges } from './pod-metrics.ts';
import { podOf } from './testing/pods.ts';

test('the way of a pod: first sync, running, and that without its pulls', async () => {
  const registry = createRegistry();
  const clock = fakeClock();
  const metrics = createPodMetrics(registry, clock);
  const now = new Date(clock.now()).toISOString();
  const pod = podOf();
  pod.metadata = {
    ...pod.metadata,
    creationTimestamp: now as never,
    annotations: { 'kubernetes.io/config.seen': now },
  };
  await clock.advance(2000);
  metrics.syncing(pod);
  metrics.syncing(pod);
  await clock.advance(6000);
  metrics.pulled(pod.metadata.uid ?? '', 5);
  await clock.advance(2000);
  metrics.status(pod, { phase: 'Pending' });
  metrics.status(pod, { phase: 'Running' });
  await clock.advance(9000);
  metrics.status(pod, { phase: 'Running' });
  const text = await registry.metrics();
  assert.match(text, /^kubelet_pod_worker_start_duration_seconds_sum 2$/m);
  assert.match(text, /^kubelet_pod_worker_start_duration_seconds_count 1$/m);
  assert.match(text, /^kubelet_pod_start_duration_seconds_sum 10$/m);
  assert.match(text, /^kubelet_pod_start_sli_duration_seconds_sum 5$/m);
  assert.match(text, /^kubelet_pod_start_duration_seconds_count 1$/m);
});

test('what is worked on, and cgroups with their times', async () => {
  const registry = createRegistry();
  const metrics = createPodMetrics(registry, fakeClock());
  const pod = podOf();
  const worker = (uid: string, phase: string, orphan = false) => ({
    uid,
    state: { phase },
    orphan,
    update: { pod },
  });
  const workers = [
    worker(pod.metadata.uid ?? '', 'syncing'),
    worker('gone', 'terminating'),
    worker('stray', 'terminating', true),
    worker('over', 'finished'),
  ];
  registerWorkGauges(registry, { pods: () => [pod], workers: () => ({ all: () => workers }) as never });
  const failing = {
    createPodCgroup: async () => Promise.reject(new Error('no')),
    removePodCgroup: async () => {},
  };
  const timed = metrics.timed(failing as never);
  await assert.rejects(timed.createPodCgroup(pod), /no/);
  await timed.removePodCgroup('x');
  metrics.restarted(pod);
  const text = await registry.metrics();
  assert.match(text, /^kubelet_active_pods\{static=".*"\} 1$/m);
  assert.match(text, /^kubelet_working_pods\{lifecycle="sync",config="desired",static=".*"\} 1$/m);
  assert.match(text, /^kubelet_working_pods\{lifecycle="terminating",config="orphan",static=".*"\} 1$/m);
  assert.match(
    text,
    /^kubelet_working_pods\{lifecycle="terminating",config="runtime_only",static="unknown"\} 1$/m,
  );
  assert.match(text, /^kubelet_cgroup_manager_duration_seconds_count\{operation_type="create"\} 1$/m);
  assert.match(text, /^kubelet_cgroup_manager_duration_seconds_count\{operation_type="destroy"\} 1$/m);
  assert.match(text, /^kubelet_restarted_pods_total\{static=".*"\} 1$/m);
});

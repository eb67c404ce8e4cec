/** Pods whose runtime handler is `vm`, over the CRI. More of them is in test/vm/lineage.test.ts. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { criStage, patience, podConfig } from '../../test/vm/cri-stage.ts';
import { until } from '../../test/vm/oci-stage.ts';

test('a VM has the address of its pod; who may administer its network makes bridges; a container that takes too much is OOMKilled; a given-up command goes with its children', async (t) => {
  const node = await criStage(t);
  const { runtime } = node.cri();
  const config = podConfig(node, 'a');
  const { podSandboxId } = await runtime.runPodSandbox({ config }, patience);
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  const first = await node.run(podSandboxId, config, 'one', 'while :; do sleep 1; done');
  const facts = await node.exec(first, 'ip -o -4 addr show eth0; exit 7');
  assert.equal(facts.code, 7);
  assert.ok(facts.out.includes(`${status?.network?.ip}/`), facts.out);
  const admin = await node.run(podSandboxId, config, 'admin', 'while :; do sleep 1; done', {
    linux: { securityContext: { capabilities: { addCapabilities: ['NET_ADMIN'] } } },
  });
  assert.equal((await node.exec(admin, 'brctl addbr br7 && ip link show br7')).code, 0);
  assert.notEqual((await node.exec(first, 'brctl addbr br8')).code, 0);
  const greedy = await node.run(podSandboxId, config, 'greedy', 'x=1; while :; do x=$x$x; done', {
    linux: { resources: { memoryLimitInBytes: 24n * 1024n * 1024n } },
  });
  const killed = await node.ended(greedy);
  assert.deepEqual([killed.exitCode, killed.reason], [137, 'OOMKilled']);
  const cmd = ['/bin/sh', '-c', 'sleep 4444 & sleep 4444'];
  const late = runtime.execSync({ containerId: first, cmd, timeout: 3n }, patience);
  await assert.rejects(late, { code: 'DEADLINE_EXCEEDED' });
  const left = () => node.exec(first, 'ps | grep -v grep | grep -c "sleep 4444"');
  for (let i = 0; i < 100 && (await left()).out.trim() !== '0'; i += 1);
  assert.equal((await left()).out.trim(), '0');
});

test('lineage 04: pods that need the host get the plain runtime, or a clear refusal where they ask for a VM', async (t) => {
  const node = await criStage(t);
  const { runtime } = node.cri();
  const pod = (name: string, linux: object = {}) => podConfig(node, name, linux);
  const host = {
    securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } },
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config: pod('host', host) });
  const { status } = await runtime.podSandboxStatus({ podSandboxId });
  assert.match(status?.runtimeHandler ?? '', /^(crun|runc)$/);
  await assert.rejects(
    runtime.runPodSandbox({ config: pod('asks', host), runtimeHandler: 'vm' }),
    /cannot be a VM .*host's network.*runtimeClassName: plain/,
  );
  await assert.rejects(
    runtime.runPodSandbox({
      config: pod('strong', { securityContext: { privileged: true } }),
      runtimeHandler: 'vm',
    }),
    /it is privileged/,
  );
  const plain = await runtime.runPodSandbox({ config: pod('plain'), runtimeHandler: 'plain' });
  const shown = await runtime.podSandboxStatus({ podSandboxId: plain.podSandboxId });
  assert.match(shown.status?.runtimeHandler ?? '', /^(crun|runc)$/);
  const { runtimeHandlers } = await runtime.status({});
  const names = runtimeHandlers.map(({ name }) => name);
  assert.ok(names.includes('vm') && names.includes('plain'), names.join());
});

test('a server that stops while it makes a VM takes away what there is of it', async (t) => {
  const node = await criStage(t);
  const { runtime } = node.cri();
  const pods = join(node.paths.run, 'runtimes', 'vm', '.pods');
  const made = runtime.runPodSandbox({ config: podConfig(node, 'late') }, patience).then(
    () => true,
    () => false,
  );
  await until(() => existsSync(pods) && readdirSync(pods).length > 0, 'the beginning of the VM');
  await node.restart();
  // A call that was done before it could be cancelled was answered, and what it made stays.
  const expected = (await made) ? 1 : 0;
  assert.equal(readdirSync(pods).length, expected);
  assert.equal((await node.cri().runtime.listPodSandbox({})).items.length, expected);
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { ContainerState, NamespaceMode, PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { startRegistry } from '../../conformance/cri/images/registry.ts';
import { testImages } from '../../conformance/cri/images/test-images.ts';
import { leakCheck } from '../../test/leaks.ts';
import { createCriServer } from './server.ts';

const skiffVm = fileURLToPath(new URL('../../skiff-vm', import.meta.url));
const patience = { timeoutMs: 150_000 };

async function startServer(t: TestContext) {
  const root = mkdtempSync('/tmp/skiff-vc-');
  chmodSync(root, 0o711);
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const open = async () => {
    const server = createCriServer({
      paths,
      version: '0.0.0-test',
      log: silentLogger,
      cni: { configDir: join(paths.etc, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true },
      runtimes: {
        candidates: [{ name: 'crun' }, { name: 'runc' }, { name: 'vm', path: skiffVm }],
        preferred: 'vm',
        hostPods: 'plain',
      },
    });
    await server.listen();
    return { server, client: connectCri(server.endpoint) };
  };
  let { server, client } = await open();
  const registry = await startRegistry();
  t.after(async () => {
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) await client.runtime.removePodSandbox({ podSandboxId: id }, patience);
    client.close();
    await server.close();
    await registry[Symbol.asyncDispose]();
    rmSync(root, { recursive: true });
    await leaks.assertClean(10_000);
  });
  const [[name, built] = ['', undefined]] = Object.entries(testImages());
  if (built === undefined) throw new Error('there is no test image');
  const image = registry.publish(`conformance/${name}:1`, built);
  await client.images.pullImage({ image: { image } }, patience);
  return {
    paths,
    image,
    cri: (): CriClient => client,
    vm: (...args: string[]) =>
      execFileSync(skiffVm, [`--root=${join(paths.run, 'runtimes', 'vm')}`, ...args], { encoding: 'utf8' }),
    async restart() {
      client.close();
      await server.close();
      ({ server, client } = await open());
    },
  };
}

const pod = (name: string, linux: object = {}) => ({
  metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
  linux,
});

type Node = Awaited<ReturnType<typeof startServer>>;

async function runContainer(
  node: Node,
  podSandboxId: string,
  config: object,
  name: string,
  script: string,
  linux = {},
) {
  const request = {
    podSandboxId,
    sandboxConfig: config,
    config: { metadata: { name }, image: { image: node.image }, command: ['/bin/sh', '-c', script], linux },
  };
  const { containerId } = await node.cri().runtime.createContainer(request, patience);
  await node.cri().runtime.startContainer({ containerId }, patience);
  return containerId;
}

async function ended(node: Node, containerId: string) {
  for (let i = 0; i < 3000; i += 1) {
    const { status } = await node.cri().runtime.containerStatus({ containerId });
    if (status?.state === ContainerState.CONTAINER_EXITED) return status;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${containerId} did not end`);
}

test('a pod on the VM runtime: network, limits, figures, commands, memory; and what ends it', async (t) => {
  const node = await startServer(t);
  const config = pod('a', {
    resources: { memoryLimitInBytes: 200n * 1024n * 1024n, cpuQuota: 150_000n, cpuPeriod: 100_000n },
  });
  const { podSandboxId } = await node.cri().runtime.runPodSandbox({ config }, patience);
  const { status } = await node.cri().runtime.podSandboxStatus({ podSandboxId });
  assert.equal(status?.runtimeHandler, 'vm');
  const view = JSON.parse(node.vm('pod', 'show', podSandboxId));
  assert.deepEqual([view.vcpus, view.memoryBytes], [2, (200 + 96) * 1024 * 1024]);
  const first = await runContainer(node, podSandboxId, config, 'one', 'while :; do sleep 1; done');
  const exec = async (containerId: string, script: string) => {
    const cmd = ['/bin/sh', '-c', script];
    const answer = await node.cri().runtime.execSync({ containerId, cmd, timeout: 100n }, patience);
    return { code: answer.exitCode, out: Buffer.from(answer.stdout).toString() };
  };
  const facts = await exec(first, 'cat /proc/sys/kernel/random/boot_id; ip -o -4 addr show eth0; exit 7');
  assert.equal(facts.code, 7);
  assert.ok(facts.out.includes(`${status?.network?.ip}/`), facts.out);
  const stats = await node.cri().runtime.containerStats({ containerId: first });
  assert.ok((stats.stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n) > 0n);
  assert.ok((stats.stats?.memory?.workingSetBytes?.value ?? 0n) > 0n);

  const greedy = await runContainer(node, podSandboxId, config, 'greedy', 'x=1; while :; do x=$x$x; done', {
    resources: { memoryLimitInBytes: 24n * 1024n * 1024n },
  });
  const killed = await ended(node, greedy);
  assert.deepEqual([killed.exitCode, killed.reason], [137, 'OOMKilled']);

  await node.restart();
  const same = await exec(first, 'cat /proc/sys/kernel/random/boot_id');
  assert.equal(same.out.trim(), facts.out.split('\n')[0]);
  process.kill(JSON.parse(node.vm('pod', 'show', podSandboxId)).vmmPid, 'SIGKILL');
  assert.equal((await ended(node, first)).exitCode, 137);
  for (let i = 0; i < 500; i += 1) {
    const { status: now } = await node.cri().runtime.podSandboxStatus({ podSandboxId });
    if (now?.state === PodSandboxState.SANDBOX_NOTREADY) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { status: after } = await node.cri().runtime.podSandboxStatus({ podSandboxId });
  assert.equal(after?.state, PodSandboxState.SANDBOX_NOTREADY);
});

test('pods that need the host get the plain runtime, or a clear refusal where they ask for a VM', async (t) => {
  const node = await startServer(t);
  const { runtime } = node.cri();
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

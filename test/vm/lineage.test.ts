/**
 * The behaviours that runv, hyperd, hyperstart and frakti had or lacked, and a remake must have: 25, each a test whose
 * title begins with `lineage NN`. Those of a pod's whole path are here, over the CRI with VMs as the default; the
 * others stand beside what they are about. The last test counts them.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { ContainerState, ImageService, RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { connectRemoteCommand } from '#foundation/stream/remote-command/client.ts';
import { leakCheck } from '../leaks.ts';
import { type CriStage, criStage, patience, podConfig } from './cri-stage.ts';
import { until } from './oci-stage.ts';

const bootId = '/proc/sys/kernel/random/boot_id';
const MiB = 1024 * 1024;
/** Nanoseconds by which times of files may be off. */
const slack = 1_000_000_000n;

/** Unary calls by name. */
type Calls = Record<string, (request: object, options: object) => Promise<unknown>>;

/** Every call answers an empty request; an answer may be a refusal that says why. */
async function answersEmptyRequests(node: CriStage): Promise<void> {
  const cri = node.cri();
  for (const [service, client] of [
    [RuntimeService, cri.runtime],
    [ImageService, cri.images],
  ] as const)
    for (const method of service.methods) {
      if (method.methodKind !== 'unary') continue;
      const call = (client as unknown as Calls)[method.localName];
      const failure = await call?.({}, patience).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined) continue;
      assert.ok(isSkiffError(failure) && failure.code !== 'INTERNAL', `${method.name}: ${failure}`);
    }
}

async function streamedExec(node: CriStage, containerId: string): Promise<{ code: number; out: string }> {
  const cmd = ['/bin/sh', '-c', 'echo out; exit 42'];
  const { url } = await node.cri().runtime.exec({ containerId, cmd, stdout: true, stderr: true }, patience);
  let out = '';
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      out += chunk.toString();
      done();
    },
  });
  const stderr = new Writable({ write: (_chunk, _encoding, done) => done() });
  const protocols = ['v4.channel.k8s.io'];
  const session = await connectRemoteCommand(url, {
    transport: 'spdy',
    protocols,
    tty: false,
    stdout,
    stderr,
  });
  return { code: await session.exitCode, out };
}

/** Names of all that is below a directory. */
function filesBelow(directory: string): string[] {
  return globSync(['**/*', '**/.*', '**/.*/**'], { cwd: directory }).sort();
}

/** The limit that the host's cgroup of a process has, version 1 or 2. */
function memoryLimitOf(pid: number): number {
  for (const line of readFileSync(`/proc/${pid}/cgroup`, 'utf8').trim().split('\n')) {
    const [, names = '', path = ''] = line.split(':');
    const file = names === '' ? 'memory.max' : 'memory.limit_in_bytes';
    if (names !== '' && names !== 'memory') continue;
    try {
      return Number(readFileSync(join('/sys/fs/cgroup', names, path, file), 'utf8'));
    } catch {
      // The version 2 tree beside version 1 hierarchies has no memory controller.
    }
  }
  return Number.NaN;
}

test('a pod on the CRI as a VM', async (t) => {
  const node = await criStage(t);
  const { runtime } = node.cri();
  const config = {
    ...podConfig(node, 'a', {
      resources: { memoryLimitInBytes: BigInt(200 * MiB), cpuQuota: 150_000n, cpuPeriod: 100_000n },
    }),
    annotations: { 'io.katacontainers.config.hypervisor.kernel': '/evil/vmlinuz' },
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config }, patience);
  const main = 'trap "exit 3" TERM; echo one; while :; do sleep 0.2; done';
  const first = await node.run(podSandboxId, config, 'one', main, {
    envs: [{ key: 'HYPERVISOR_KERNEL', value: Buffer.from('/evil/vmlinuz') }],
    linux: { resources: { memoryLimitInBytes: BigInt(64 * MiB) } },
  });
  const second = await node.run(podSandboxId, config, 'two', 'trap "" TERM; while :; do sleep 0.2; done');
  const view = () => JSON.parse(node.vm('pod', 'show', podSandboxId));
  const own = (await node.exec(first, `cat ${bootId}`)).out;

  await t.test('lineage 01: every CRI call answers; what cannot be says so', async () => {
    await answersEmptyRequests(node);
    const location = join(node.paths.run, 'checkpoint');
    await assert.rejects(
      node.cri().runtime.checkpointContainer({ containerId: first, location }, patience),
      /checkpoint/,
    );
  });
  await t.test('lineage 02: a sandbox that fails early, late, or is given up leaves nothing', async () => {
    const leaks = leakCheck(join(node.logs, '..'));
    const place = () => filesBelow(node.paths.run).filter((name) => !name.includes('/.cache/'));
    const before = place();
    const { runtime: calls } = node.cri();
    const fails = async (
      linux: object,
      message: RegExp,
      options: { timeoutMs: number; signal?: AbortSignal } = patience,
    ) => {
      await assert.rejects(calls.runPodSandbox({ config: podConfig(node, 'bad', linux) }, options), message);
      // What was given up is taken back after its caller has gone.
      await until(
        () => isDeepStrictEqual(place(), before),
        'the end of it',
        () => place().join(' '),
      );
      await leaks.assertClean(60_000);
    };
    // Before there is a VM; the hypervisor cannot have so much; the guest's kernel takes no such value; in the middle.
    await fails({ sysctls: { 'net.no.such': '1' } }, /no.such/);
    await fails({ resources: { memoryLimitInBytes: 2n ** 50n } }, /VM could not be started/);
    await fails({ sysctls: { 'kernel.msgmax': 'many' } }, /msgmax/);
    const given = new AbortController();
    const pods = join(node.paths.run, 'runtimes', 'vm', '.pods');
    const booting = () =>
      readdirSync(pods).some((pod) => !known.has(pod) && existsSync(join(pods, pod, 'vm', 'vm')));
    const known = new Set(readdirSync(pods));
    void until(booting, 'a VM that boots').then(() => given.abort());
    await fails({}, /cancel|abort/i, { ...patience, signal: given.signal });
  });
  await t.test(
    "lineage 03: two containers of one pod see one boot id, which is no other pod's and not the host's",
    async () => {
      assert.equal((await node.exec(second, `cat ${bootId}`)).out, own);
      const pod = podConfig(node, 'b');
      const { podSandboxId: otherPod } = await node.cri().runtime.runPodSandbox({ config: pod }, patience);
      const id = await node.run(otherPod, pod, 'other', 'while :; do sleep 1; done');
      const other = (await node.exec(id, `cat ${bootId}`)).out;
      const ids = [own.trim(), other.trim(), readFileSync(bootId, 'utf8').trim()];
      for (const each of ids) assert.match(each, /^[0-9a-f-]{36}$/);
      assert.equal(new Set(ids).size, ids.length, ids.join());
      await node.cri().runtime.removePodSandbox({ podSandboxId: otherPod }, patience);
    },
  );
  await t.test('lineage 05: the handler selects the runtime; unknown names fail', async () => {
    const { status } = await node.cri().runtime.podSandboxStatus({ podSandboxId });
    assert.equal(status?.runtimeHandler, 'vm');
    const request = { config: podConfig(node, 'x'), runtimeHandler: 'no-such' };
    await assert.rejects(node.cri().runtime.runPodSandbox(request, patience), { code: 'NOT_FOUND' });
  });
  await t.test('lineage 07: the VM is as large as the limits and the overhead say', () => {
    assert.deepEqual([view().vcpus, view().memoryBytes], [2, (200 + 96) * MiB]);
  });
  await t.test('lineage 08: UpdateContainerResources changes the limits in the guest', async () => {
    const limit = async () => Number((await node.exec(first, 'cat /sys/fs/cgroup/memory.max')).out);
    assert.equal(await limit(), 64 * MiB);
    const linux = { memoryLimitInBytes: BigInt(96 * MiB) };
    await node.cri().runtime.updateContainerResources({ containerId: first, linux }, patience);
    assert.equal(await limit(), 96 * MiB);
    const beyond = { memoryLimitInBytes: BigInt(400 * MiB) };
    await assert.rejects(
      node.cri().runtime.updateContainerResources({ containerId: first, linux: beyond }, patience),
      /the pod's VM has 296 MiB of memory and cannot have 400 .*make the pod anew/,
    );
    assert.equal(await limit(), 96 * MiB);
  });
  await t.test(
    'a pod gets its VM made smaller and as large as it was; what is larger is refused',
    async () => {
      // Pages that the balloon has: it may have to give them back when the guest has none, so they count as the guest's.
      const taken = async () => {
        const { out } = await node.exec(first, 'cat /proc/vmstat');
        const [more, less] = ['inflate', 'deflate'].map((way) =>
          Number(new RegExp(`balloon_${way} (\\d+)`).exec(out)?.[1]),
        );
        return (more ?? Number.NaN) - (less ?? Number.NaN);
      };
      const untilTaken = async (mebibytes: number) => {
        for (const end = Date.now() + patience.timeoutMs; (await taken()) !== mebibytes * 256; )
          assert.ok(Date.now() < end, `${await taken()} pages`);
      };
      const resize = (memory: number, quota: bigint) =>
        node.cri().runtime.updatePodSandboxResources(
          {
            podSandboxId,
            resources: { memoryLimitInBytes: BigInt(memory * MiB), cpuQuota: quota, cpuPeriod: 100_000n },
          },
          patience,
        );
      await resize(150, 100_000n);
      await untilTaken(50);
      await resize(200, 150_000n);
      await untilTaken(0);
      await assert.rejects(
        resize(300, 150_000n),
        /has 296 MiB of memory and cannot have 396 .*make the pod anew/,
      );
      await assert.rejects(resize(200, 250_000n), /has 2 processors and cannot have 3 .*make the pod anew/);
      const { info } = await node.cri().runtime.podSandboxStatus({ podSandboxId, verbose: true });
      assert.doesNotMatch(JSON.stringify(info), new RegExp(String(300 * MiB)));
    },
  );
  await t.test("lineage 09: a cgroup of the host bounds the VM's processes", () => {
    const limit = memoryLimitOf(view().vmmPid);
    assert.ok(limit > (200 + 96) * MiB && limit < 1024 * MiB, String(limit));
  });
  await t.test('lineage 14: a streamed command returns its exit code', async () => {
    assert.deepEqual(await streamedExec(node, first), { code: 42, out: 'out\n' });
  });
  await t.test("lineage 21: logs are of the CRI's format, and a reopened one is a new file", async () => {
    const log = join(node.logs, 'one.log');
    await until(() => readFileSync(log, 'utf8').endsWith('\n'), 'the line');
    assert.match(readFileSync(log, 'utf8'), /^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) stdout F one\n$/);
    renameSync(log, `${log}.1`);
    await node.cri().runtime.reopenContainerLog({ containerId: first });
    assert.equal(readFileSync(log, 'utf8'), '');
  });
  await t.test('lineage 22: figures of container, pod and image file system are not zero', async () => {
    const cri = node.cri();
    const { stats } = await cri.runtime.containerStats({ containerId: first }, patience);
    const pod = (await cri.runtime.podSandboxStats({ podSandboxId }, patience)).stats?.linux;
    const { imageFilesystems } = await cri.images.imageFsInfo({});
    const figures = {
      cpu: stats?.cpu?.usageCoreNanoSeconds?.value,
      memory: stats?.memory?.workingSetBytes?.value,
      podCpu: pod?.cpu?.usageCoreNanoSeconds?.value,
      podMemory: pod?.memory?.workingSetBytes?.value,
      images: imageFilesystems[0]?.usedBytes?.value,
    };
    for (const [name, value] of Object.entries(figures)) assert.ok((value ?? 0n) > 0n, name);
  });
  await t.test('lineage 25: an image, its environment or an annotation never picks the kernel', async () => {
    const command = readFileSync(`/proc/${view().vmmPid}/cmdline`, 'utf8');
    assert.doesNotMatch(command, /evil/);
    assert.match(command, /-kernel\0\/proc\/self\/fd\/\d+\0/);
  });
  await t.test(
    'lineage 06 and 23: handler, containers, exit codes and times outlive a killed server',
    async () => {
      const script = 'until [ -e /tmp/now ]; do sleep 0.1; done; echo last words; exit 7';
      const ending = await node.run(podSandboxId, config, 'ending', script);
      const before = (await node.cri().runtime.containerStatus({ containerId: first })).status;
      let [began, over] = [0n, 0n];
      await node.crash(async () => {
        began = BigInt(Date.now()) * 1_000_000n;
        node.vm('exec', ending, 'touch', '/tmp/now');
        await until(() => JSON.parse(node.vm('state', ending)).status === 'stopped', 'its end');
        over = BigInt(Date.now()) * 1_000_000n;
      });
      const { runtime: calls } = node.cri();
      const after = (await calls.containerStatus({ containerId: first })).status;
      assert.deepEqual(
        [after?.state, after?.startedAt, after?.createdAt],
        [before?.state, before?.startedAt, before?.createdAt],
      );
      const ended = (await calls.containerStatus({ containerId: ending })).status;
      assert.deepEqual([ended?.state, ended?.exitCode], [ContainerState.CONTAINER_EXITED, 7]);
      const at = ended?.finishedAt ?? 0n;
      assert.ok(at >= began - slack && at <= over + slack, `${began} <= ${at} <= ${over}`);
      assert.match(readFileSync(join(node.logs, 'ending.log'), 'utf8'), /stdout F last words\n$/);
      const { status } = await calls.podSandboxStatus({ podSandboxId });
      assert.equal(status?.runtimeHandler, 'vm');
      assert.equal((await node.exec(first, `cat ${bootId}`)).out, own);
      await calls.removeContainer({ containerId: ending }, patience);
    },
  );
  await t.test(
    'lineage 13 and 24: the grace, then SIGKILL, which is 137; stop and remove twice are success',
    async () => {
      const cri = node.cri();
      for (const containerId of [first, first])
        await cri.runtime.stopContainer({ containerId, timeout: 60n }, patience);
      assert.equal((await node.ended(first)).exitCode, 3);
      for (const containerId of [second, second])
        await cri.runtime.stopContainer({ containerId, timeout: 1n }, patience);
      assert.equal((await node.ended(second)).exitCode, 137);
      for (const containerId of [second, second])
        await cri.runtime.removeContainer({ containerId }, patience);
    },
  );
  await t.test('lineage 12: the pod of a VM that is gone is NOTREADY, and ends like any other', async () => {
    const { runtime: now } = node.cri();
    const third = await node.run(podSandboxId, config, 'three', 'while :; do sleep 1; done');
    process.kill(view().vmmPid, 'SIGKILL');
    assert.equal((await node.ended(third)).exitCode, 137);
    for (let ready = true; ready; await new Promise((resolve) => setTimeout(resolve, 20)))
      ready = (await now.podSandboxStatus({ podSandboxId })).status?.state === 0;
    for (const id of [podSandboxId, podSandboxId]) {
      await now.stopPodSandbox({ podSandboxId: id }, patience);
      await now.removePodSandbox({ podSandboxId: id }, patience);
    }
  });
});

test('each of the 25 behaviours has a test', () => {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const files = ['services/**/*.test.ts', 'test/vm/*.test.ts'].flatMap((glob) => globSync(join(root, glob)));
  const titles = files.flatMap((file) => [
    ...readFileSync(file, 'utf8').matchAll(/test\(\s*['"`]lineage ([^:]+):/g),
  ]);
  const found = new Set(titles.flatMap(([, numbers = '']) => numbers.split(/ and |, /).map(Number)));
  const all = Array.from({ length: 25 }, (_, index) => index + 1);
  assert.deepEqual(
    [...found].sort((a, b) => a - b),
    all,
  );
});

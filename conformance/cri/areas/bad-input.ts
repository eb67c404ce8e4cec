/** Requests that no honest client sends. Each ends in a gRPC error, and the server goes on. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { ImageService, RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { area } from '../rule.ts';

/** These answer an empty request by right, or wait for ever. */
const harmless = new Set([
  ...['Version', 'Status', 'RuntimeConfig', 'UpdateRuntimeConfig', 'ListPodSandbox', 'ListContainers'],
  ...['ListContainerStats', 'ListPodSandboxStats', 'ListMetricDescriptors', 'ListPodSandboxMetrics'],
  ...['ListImages', 'ImageFsInfo', 'GetContainerEvents'],
]);

async function stillFine(t: Context): Promise<void> {
  const { id } = await t.running();
  assert.equal(await t.output(id, 'echo fine'), 'fine');
}

/** Ends in an error with a code, or is accepted; the server must not die of it. */
async function survives(t: Context, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    assert.ok(isSkiffError(error), String(error));
  }
  await t.cri.runtime.version({});
}

type Calls = Record<string, (request: object, options: object) => Promise<unknown>>;

export const badInput = area('bad-input', (rule) => {
  rule('an empty request of every RPC is answered', async (t) => {
    for (const [service, client] of [
      [RuntimeService, t.cri.runtime],
      [ImageService, t.cri.images],
    ] as const) {
      for (const method of service.methods) {
        if (harmless.has(method.name) || method.methodKind !== 'unary') continue;
        await survives(t, (client as unknown as Calls)[method.localName]!({}, { timeoutMs: 20_000 }));
      }
    }
    await stillFine(t);
  });

  rule('ids that are none are not found, whatever is in them', async (t) => {
    for (const id of ['../../../etc', 'a/b', '\u0000', ' ', 'x'.repeat(4000), '%s%n', "'; --"]) {
      await fails(t.cri.runtime.containerStatus({ containerId: id }));
      await fails(t.cri.runtime.podSandboxStatus({ podSandboxId: id }));
      await fails(t.cri.runtime.startContainer({ containerId: id }));
    }
    await stillFine(t);
  });

  rule('names with paths in them lead nowhere', async (t) => {
    const evil = '../../../../../../tmp/skiff-evil';
    const metadata = { name: `${evil}-pod`, namespace: evil, uid: evil, attempt: 0 };
    const config = t.podConfig({ metadata });
    const answer = await t.cri.runtime
      .runPodSandbox({ config, runtimeHandler: t.handler })
      .catch(() => undefined);
    if (answer !== undefined) await t.cri.runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
    const pod = await t.pod();
    const id = await t.start(pod, { metadata: { name: evil, attempt: 0 } }).catch(() => undefined);
    if (id !== undefined) await t.cri.runtime.removeContainer({ containerId: id });
    assert.ok(!existsSync('/tmp/skiff-evil') && !existsSync('/tmp/skiff-evil-pod'));
    await stillFine(t);
  });

  rule('a log path does not leave the log directory', async (t) => {
    const pod = await t.pod();
    const logPath = '../escaped.log';
    const id = await t.start(pod, { logPath, command: ['echo', 'x'] }).catch(() => undefined);
    if (id !== undefined) await t.exited(id);
    assert.ok(!existsSync(join(pod.config.logDirectory ?? '', logPath)));
  });

  rule('a mount target cannot leave the root, by dots or by a link of the image', async (t) => {
    const pod = await t.pod();
    for (const containerPath of [
      '/../../../../tmp/skiff-escape',
      '/proc/../../tmp/skiff-escape',
      'relative',
      '',
    ]) {
      const mounts = [{ hostPath: t.directory, containerPath }];
      const id = await t.start(pod, { mounts }).catch(() => undefined);
      if (id !== undefined) await t.cri.runtime.removeContainer({ containerId: id });
    }
    assert.ok(!existsSync('/tmp/skiff-escape'));
    await stillFine(t);
  });

  rule('mounts that go in circles fail or end', async (t) => {
    const pod = await t.pod();
    const circle = join(t.directory, 'circle');
    symlinkSync(circle, circle);
    const [one, other] = [join(t.directory, 'one'), join(t.directory, 'other')];
    symlinkSync(other, one);
    symlinkSync(one, other);
    for (const hostPath of [circle, one])
      assert.match(
        await fails(t.start(pod, { mounts: [{ hostPath, containerPath: '/x' }] })),
        /link|ELOOP|loop/i,
      );
    const outer = join(t.directory, 'outer');
    mkdirSync(join(outer, 'inner'), { recursive: true });
    const nested = [
      { hostPath: outer, containerPath: '/a' },
      { hostPath: join(outer, 'inner'), containerPath: '/a/inner' },
      { hostPath: outer, containerPath: '/a/inner/inner' },
      { hostPath: outer, containerPath: '/a' },
    ];
    await survives(t, t.start(pod, { mounts: nested }));
    // The container's own root lies somewhere below.
    await survives(t, t.start(pod, { mounts: [{ hostPath: '/', containerPath: '/host' }] }));
    await stillFine(t);
  });

  rule('negative and huge numbers do no harm', async (t) => {
    const pod = await t.pod();
    const numbers = [-1n, -(2n ** 63n), 2n ** 63n - 1n];
    for (const value of numbers) {
      const resources = {
        cpuPeriod: value,
        cpuQuota: value,
        cpuShares: value,
        memoryLimitInBytes: value,
        oomScoreAdj: value,
      };
      await survives(t, t.start(pod, { linux: { resources } }));
      await survives(t, t.start(pod, { linux: { securityContext: { runAsUser: { value } } } }));
      await survives(t, t.cri.runtime.stopContainer({ containerId: 'unknown', timeout: value }));
    }
    for (const hostPort of [-5, 70_000, 2 ** 31 - 1]) {
      const config = t.podConfig({ portMappings: [{ containerPort: hostPort, hostPort }] });
      const answer = await t.cri.runtime
        .runPodSandbox({ config, runtimeHandler: t.handler })
        .catch(() => undefined);
      if (answer !== undefined) await t.cri.runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
    }
    await stillFine(t);
  });

  rule('10,000 labels and a megabyte of annotation come back whole', async (t) => {
    const labels = Object.fromEntries(
      Array.from({ length: 10_000 }, (_, index) => [`label-${index}`, `${index}`]),
    );
    const annotations = { big: 'x'.repeat(1_000_000) };
    const { id: podSandboxId } = await t.pod({ labels, annotations });
    const { status } = await t.cri.runtime.podSandboxStatus({ podSandboxId });
    assert.equal(Object.keys(status?.labels ?? {}).length, 10_000);
    assert.equal(status?.annotations.big?.length, 1_000_000);
  });

  rule(
    'strings of 30,000 characters where a name belongs are answered',
    async (t) => {
      const big = 'y'.repeat(30_000);
      const pod = await t.pod();
      const config = t.podConfig({ hostname: big });
      const answer = await t.cri.runtime
        .runPodSandbox({ config, runtimeHandler: t.handler })
        .catch(() => undefined);
      if (answer !== undefined) await t.cri.runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
      await survives(t, t.start(pod, { metadata: { name: big, attempt: 0 } }));
      await survives(t, t.start(pod, { workingDir: `/${big}` }));
      await survives(t, t.start(pod, { command: [big] }));
      await survives(t, t.cri.images.pullImage({ image: { image: big } }));
      await stillFine(t);
    },
    { alone: true },
  );

  rule(
    'random bytes for every RPC are answered',
    async (t) => {
      const { runtime, images } = t.cri;
      const text = () => randomBytes(12).toString('latin1');
      for (let round = 0; round < 30; round += 1) {
        const config = { metadata: { name: text(), attempt: 1 }, image: { image: text() }, logPath: text() };
        const answer = await runtime
          .runPodSandbox({
            config: { metadata: { name: text(), uid: text(), namespace: text() }, hostname: text() },
          })
          .catch(() => undefined);
        if (answer !== undefined) await runtime.removePodSandbox({ podSandboxId: answer.podSandboxId });
        await survives(t, runtime.createContainer({ podSandboxId: text(), config, sandboxConfig: {} }));
        await survives(t, runtime.execSync({ containerId: text(), cmd: [text()], timeout: -3n }));
        await survives(t, images.pullImage({ image: { image: text() } }, { timeoutMs: 5000 }));
        await survives(t, images.imageStatus({ image: { image: text() } }));
        await survives(t, images.removeImage({ image: { image: text() } }));
      }
      await stillFine(t);
    },
    { timeoutMs: 120_000 },
  );

  rule('a device, a sysctl, a seccomp profile that are not there fail with their names', async (t) => {
    const pod = await t.pod();
    const device = t.start(pod, {
      devices: [{ hostPath: '/dev/no-such', containerPath: '/dev/x', permissions: 'rw' }],
    });
    assert.match(await fails(device), /no-such/);
    const devices = t.start(pod, { CDIDevices: [{ name: 'vendor.example/class=none' }] });
    assert.match(await fails(devices), /vendor\.example/);
  });
});

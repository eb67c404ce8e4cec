/** containerd's own shim for runc, with `skiff-vm` in its place and nothing else changed. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ContainerState } from '#contracts/cri/runtime_pb.ts';
import { busyboxImage, containerdInstalled, startContainerd } from '../peers/containerd.ts';
import { skiffVm, until } from './oci-stage.ts';

const patience = { timeoutMs: 200_000 };
const bootId = '/proc/sys/kernel/random/boot_id';

test("Debian's containerd runs pods as VMs by this runtime: logs, commands, exit codes", {
  skip: containerdInstalled ? false : 'containerd is not installed',
}, async (t) => {
  const peer = await startContainerd(91, { vm: skiffVm });
  t.after(() => peer.stop());
  const { runtime } = peer.cri;
  const config = {
    metadata: { name: 'a', namespace: 'default', uid: 'uid-a', attempt: 0 },
    logDirectory: peer.directory,
    linux: {},
  };
  const { podSandboxId } = await runtime.runPodSandbox({ config, runtimeHandler: 'vm' }, patience);
  const { status: pod } = await runtime.podSandboxStatus({ podSandboxId });
  const run = async (name: string, script: string) => {
    const container = {
      metadata: { name, attempt: 0 },
      image: { image: busyboxImage },
      command: ['/bin/sh', '-c', script],
      logPath: `${name}.log`,
      linux: {},
    };
    const request = { podSandboxId, sandboxConfig: config, config: container };
    const { containerId } = await runtime.createContainer(request, patience);
    await runtime.startContainer({ containerId }, patience);
    return containerId;
  };
  const sh = async (containerId: string, script: string) => {
    const cmd = ['/bin/sh', '-c', script];
    const answer = await runtime.execSync({ containerId, cmd, timeout: 100n }, patience);
    return { code: answer.exitCode, out: Buffer.from(answer.stdout).toString() };
  };
  const stateOf = async (containerId: string) => (await runtime.containerStatus({ containerId })).status;

  const first = await run('one', 'echo hello; while :; do sleep 0.2; done');
  const second = await run('two', `cat ${bootId}; exit 5`);
  const seen = await sh(first, `cat ${bootId}; ip -4 addr show eth0; exit 7`);
  assert.equal(seen.code, 7);
  const own = seen.out.split('\n')[0] ?? '';
  assert.notEqual(own, readFileSync(bootId, 'utf8').trim());
  assert.ok(seen.out.includes(`${pod?.network?.ip}/`), seen.out);
  const log = (name: string) => readFileSync(join(peer.directory, `${name}.log`), 'utf8');
  await until(() => / stdout F hello\n/.test(log('one')), 'the line');
  // Two containers of a pod are in one VM.
  await until(() => log('two').includes(` stdout F ${own}\n`), 'the boot id');
  while ((await stateOf(second))?.state !== ContainerState.CONTAINER_EXITED) await sleep(20);
  assert.equal((await stateOf(second))?.exitCode, 5);
  await runtime.stopContainer({ containerId: first, timeout: 60n }, patience);
  // The image's stop signal is SIGKILL.
  assert.equal((await stateOf(first))?.exitCode, 137);
  await runtime.stopPodSandbox({ podSandboxId }, patience);
  await runtime.removePodSandbox({ podSandboxId }, patience);
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

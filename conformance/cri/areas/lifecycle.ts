/** How containers end: grace periods, signals, memory, and what is left of them. */
import assert from 'node:assert/strict';
import { ContainerState, NamespaceMode, Signal } from '#contracts/cri/runtime_pb.ts';
import { area } from '../rule.ts';

/** A script that ends with a code of its own on a signal. */
const onSignal = (name: string, code: number) =>
  `trap 'exit ${code}' ${name}; while true; do sleep 0.05; done`;

export const lifecycle = area('lifecycle', (rule) => {
  rule('StopContainer sends SIGTERM and waits: the container ends as it likes', async (t) => {
    const { id: containerId } = await t.running({ command: ['sh', '-c', onSignal('TERM', 9)] });
    await t.output(containerId, 'sleep 0.3');
    await t.cri.runtime.stopContainer({ containerId, timeout: 20n }, { timeoutMs: 30_000 });
    const status = await t.status(containerId);
    assert.equal(status.state, ContainerState.CONTAINER_EXITED);
    assert.equal(status.exitCode, 9);
  });

  rule('StopContainer kills what does not end in time', async (t) => {
    const { id: containerId } = await t.running({
      command: ['sh', '-c', "trap '' TERM; while true; do sleep 0.1; done"],
    });
    await t.output(containerId, 'sleep 0.3');
    const start = performance.now();
    await t.cri.runtime.stopContainer({ containerId, timeout: 1n }, { timeoutMs: 30_000 });
    assert.ok(performance.now() - start > 800, 'it was killed before its time');
    assert.equal((await t.status(containerId)).exitCode, 137);
  });

  rule('StopContainer with timeout 0 kills at once', async (t) => {
    const { id: containerId } = await t.running({ command: ['sh', '-c', onSignal('TERM', 9)] });
    await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
    assert.equal((await t.status(containerId)).exitCode, 137);
  });

  rule("StopContainer uses the image's STOPSIGNAL", async (t) => {
    const image = { image: t.images.named ?? '' };
    const { id: containerId } = await t.running({ image, command: ['sh', '-c', onSignal('USR1', 7)] });
    await t.output(containerId, 'sleep 0.3');
    await t.cri.runtime.stopContainer({ containerId, timeout: 20n }, { timeoutMs: 30_000 });
    assert.equal((await t.status(containerId)).exitCode, 7);
  });

  rule("the request's stop_signal goes before the image's", async (t) => {
    const fields = { image: { image: t.images.named ?? '' }, stopSignal: Signal.SIGHUP };
    const { id: containerId } = await t.running({ ...fields, command: ['sh', '-c', onSignal('HUP', 5)] });
    await t.output(containerId, 'sleep 0.3');
    await t.cri.runtime.stopContainer({ containerId, timeout: 5n }, { timeoutMs: 30_000 });
    assert.equal((await t.status(containerId)).exitCode, 5);
  });

  rule('StopContainer of a container that was never started succeeds', async (t) => {
    const containerId = await t.create(await t.pod());
    await t.cri.runtime.stopContainer({ containerId, timeout: 1n });
  });

  rule('the processes of a stopped container are all gone', async (t) => {
    const shared = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };
    const command = ['sh', '-c', 'for i in 1 2 3; do setsid sleep 98765 & done; wait'];
    const { pod, id: containerId } = await t.running({ ...shared, command }, shared);
    const watcher = await t.start(pod, shared);
    const count = () => t.output(watcher, 'ps | grep -v grep | grep -c " sleep 98765$" || true');
    await t.eventually('the processes to start', async () => (await count()) === '3' || undefined);
    await t.cri.runtime.stopContainer({ containerId, timeout: 0n });
    await t.eventually('the processes to end', async () => (await count()) === '0' || undefined);
  });

  rule('a container that takes too much memory ends as OOMKilled', async (t) => {
    const linux = { resources: { memoryLimitInBytes: 15n * 1024n * 1024n } };
    const { id } = await t.running({ command: ['tail', '/dev/zero'], linux });
    const status = await t.exited(id);
    assert.equal(status.reason, 'OOMKilled');
    assert.equal(status.exitCode, 137);
  });

  rule('each container has a root of its own, which ends with it', async (t) => {
    const { pod, id } = await t.running();
    await t.output(id, 'echo mine > /etc/mine');
    const other = await t.start(pod);
    assert.notEqual((await t.sh(other, 'cat /etc/mine')).exitCode, 0);
  });

  rule('a read-only root refuses writes', async (t) => {
    const { id } = await t.running({ linux: { securityContext: { readonlyRootfs: true } } });
    const { exitCode, stderr } = await t.sh(id, 'echo x > /file');
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /[Rr]ead-only/);
  });

  rule(
    'layers are applied as the OCI says: deletions, replacements, opaque directories, owners',
    async (t) => {
      const { id } = await t.running({ image: { image: t.images.layered ?? '' } });
      assert.equal(await t.output(id, 'ls /opt; ls /opt/opaque'), 'kept\nopaque\nnew');
      assert.equal(await t.output(id, 'cat /opt/kept'), 'second');
      assert.equal(await t.output(id, 'stat -c "%u %g %a" /opt/kept'), '1000 2000 640');
      assert.equal(await t.output(id, 'find / -xdev -name ".wh*"'), '');
    },
  );

  rule("an image's VOLUME is a directory that can be written", async (t) => {
    const securityContext = { runAsUser: { value: 0n }, readonlyRootfs: true };
    const { id } = await t.running({ image: { image: t.images.named ?? '' }, linux: { securityContext } });
    assert.equal(await t.output(id, 'echo x > /var/volume/f && cat /var/volume/f'), 'x');
  });
});

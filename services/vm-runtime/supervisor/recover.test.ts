import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ContainerState, PodState } from '#contracts/vm/supervisor_pb.ts';
import { openTestPod } from '../../../test/vm/pod-fixture.ts';

test('a new supervisor finds the VM, its containers, commands and streams again', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.run('c1', ['sh', '-c', 'echo before; cat; exit 9']);
  await pod.client.exec({
    id: 'c1',
    execId: 'e1',
    process: '{"args":["sh","-c","read x; exit 4"],"user":{}}',
  });
  const command = pod.attach('c1', 'e1');
  const created = await pod.create('c2', ['sh', '-c', 'echo later']);
  container.shim.stdin?.write('one\n');
  while (container.stdout() !== 'before\none\n') await new Promise((resolve) => setTimeout(resolve, 5));
  await pod.restart();
  assert.equal((await pod.client.getPod({})).state, PodState.READY);
  assert.equal((await pod.client.getContainer({ id: 'c1' })).state, ContainerState.RUNNING);
  await pod.client.startContainer({ id: 'c2' });
  assert.equal(await created.exited, 0);
  assert.equal(created.stdout(), 'later\n');
  command.shim.stdin?.end('x\n');
  assert.equal(await command.exited, 4);
  container.shim.stdin?.end('two\n');
  assert.equal(await container.exited, 9);
  assert.equal(container.stdout(), 'before\none\ntwo\n');
});

test('no byte is lost or repeated over restarts in the middle of a stream', async (t) => {
  const pod = await openTestPod(t);
  const lines = 60_000;
  const container = await pod.run('c1', ['sh', '-c', `seq 1 ${lines}; exec cat`]);
  for (let i = 0; i < 3; i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    await pod.restart();
  }
  container.shim.stdin?.end('the end\n');
  assert.equal(await container.exited, 0);
  const expected = `${Array.from({ length: lines }, (_, i) => `${i + 1}\n`).join('')}the end\n`;
  assert.equal(container.stdout().length, expected.length);
  assert.ok(container.stdout() === expected);
});

test('lineage 23: what ended while no supervisor was there is noted, exit codes too', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.run('c1', ['sh', '-c', 'read x; exit 6']);
  const killed = await pod.run('c2', ['sleep', '100']);
  await pod.supervisor.close();
  container.shim.stdin?.end('x\n');
  killed.shim.kill('SIGKILL');
  await killed.exited;
  await pod.restart();
  assert.equal((await pod.client.wait({ id: 'c2' })).code, 137);
  container.shim.kill('SIGTERM');
  assert.ok([6, 143].includes(await container.exited));
});

test('a VM that is gone by then leaves stopped containers', async (t) => {
  const pod = await openTestPod(t);
  const container = await pod.run('c1', ['sleep', '100']);
  await pod.supervisor.close();
  await pod.guest.factory.release('');
  await pod.restart();
  assert.equal((await pod.client.getPod({})).state, PodState.ENDED);
  assert.equal(await container.exited, 137);
  await pod.client.deleteContainer({ id: 'c1' });
});

test('a restart behind the end of a process costs its shim neither output nor exit code', async (t) => {
  const pod = await openTestPod(t);
  const bytes = 1_000_000;
  const container = await pod.run('c1', ['sh', '-c', `head -c ${bytes} /dev/zero; exit 6`]);
  const other = await pod.run('c2', ['sleep', '100']);
  container.shim.stdout?.pause();
  await pod.client.exec({
    id: 'c2',
    execId: 'e1',
    process: JSON.stringify({ args: ['sh', '-c', `head -c ${bytes} /dev/zero; exit 4`], user: {} }),
  });
  const command = pod.attach('c2', 'e1');
  command.shim.stdout?.pause();
  assert.equal((await pod.client.wait({ id: 'c1' })).code, 6);
  assert.equal((await pod.client.wait({ id: 'c2', execId: 'e1' })).code, 4);
  await pod.restart();
  container.shim.stdout?.resume();
  command.shim.stdout?.resume();
  assert.deepEqual([await container.exited, container.stdout().length], [6, bytes]);
  assert.deepEqual([await command.exited, command.stdout().length], [4, bytes]);
  other.shim.kill('SIGTERM');
  await other.exited;
});

/** SIGKILL of the server at any moment of containers' lives: what it acknowledged is there, what it had begun is not. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerState, NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { startMachine } from './small-machine.ts';

const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } };

/** What a client was told of a container. */
interface Told {
  started?: true;
  exited?: true;
}

/** When the server is killed: so many answers of a kind have come. */
const moments = [
  { kind: 'created', count: 1 },
  { kind: 'started', count: 2 },
  { kind: 'exited', count: 1 },
  { kind: 'exited', count: 3 },
] as const;

test('a server that is killed while it makes, starts and stops containers keeps what it acknowledged', async (t) => {
  const machine = await startMachine(t);
  const { cri, image, pod, killed, works } = machine;
  const told = new Map<string, Told>();
  const ended = new Map<string, { exitCode: number; finishedAt: bigint }>();
  for (const [round, { kind, count }] of moments.entries()) {
    const podSandboxId = await pod();
    const answers = { created: 0, started: 0, exited: 0 };
    const lives = Array.from({ length: 5 }, async (_, at) => {
      const config = {
        metadata: { name: `c${round}-${at}`, attempt: 0 },
        image: { image },
        command: at % 2 === 0 ? ['sh', '-c', 'exit 7'] : ['sleep', '1000'],
        labels: { round: `${round}` },
        linux,
      };
      const request = { podSandboxId, config, sandboxConfig: {} };
      const { containerId } = await cri.runtime.createContainer(request);
      const notes: Told = {};
      told.set(containerId, notes);
      answers.created += 1;
      await cri.runtime.startContainer({ containerId });
      notes.started = true;
      answers.started += 1;
      if (at % 2 === 1) return;
      await cri.runtime.stopContainer({ containerId, timeout: 60n });
      notes.exited = true;
      answers.exited += 1;
    });
    const settled = Promise.allSettled(lives);
    let over = false;
    void settled.then(() => {
      over = true;
    });
    while (!over && answers[kind] < count) await sleep(2);
    assert.ok(answers[kind] >= count, `round ${round}: ${JSON.stringify(await settled)}`);
    await sleep(randomInt(10));
    await killed();
    await settled;
    const { containers } = await cri.runtime.listContainers({});
    const listed = new Set(containers.map(({ id }) => id));
    assert.deepEqual(
      [...told.keys()].filter((id) => !listed.has(id)),
      [],
      `round ${round}`,
    );
    for (const { id } of containers) {
      const { status } = await cri.runtime.containerStatus({ containerId: id });
      const notes = told.get(id) ?? {};
      assert.ok(status?.labels.round !== undefined && status.createdAt > 0n);
      if (notes.started) assert.notEqual(status.state, ContainerState.CONTAINER_CREATED);
      if (notes.exited) {
        const before = ended.get(id) ?? { exitCode: 7, finishedAt: status.finishedAt };
        assert.equal(status.state, ContainerState.CONTAINER_EXITED);
        assert.deepEqual({ exitCode: status.exitCode, finishedAt: status.finishedAt }, before);
        ended.set(id, before);
      }
      told.set(id, notes);
    }
  }
  await works();
});

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { openChannel } from './client.ts';
import { openLeanChannel } from './lean-client.ts';
import { createLeanServer } from './lean-server.ts';
import { createRpcServer, type RpcServer } from './server.ts';

function addHandlers(server: RpcServer, cancelled: () => void): void {
  server.add(RuntimeService, {
    version: async (request) => ({ version: request.version, runtimeName: 'skiff' }),
    stopContainer: async () => {
      throw new SkiffError('NOT_FOUND', 'Cannot stop container "é%": no such container');
    },
    streamContainers: async function* () {
      for (let i = 0; i < 200; i += 1) yield { containers: [{ id: `${i} ${'x'.repeat(10_000)}` }] };
    },
    getContainerEvents: async function* (_, { signal }) {
      yield { containerId: 'first' };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      cancelled();
    },
    execSync: async (_, { signal }) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      return {};
    },
  });
}

const servers = { lean: createLeanServer, full: createRpcServer };
const channels = {
  lean: openLeanChannel,
  full: (path: string) => openChannel(`unix://${path}`),
};

for (const [serverName, makeServer] of Object.entries(servers))
  for (const [clientName, open] of Object.entries(channels))
    if (serverName === 'lean' || clientName === 'lean')
      test(`a ${clientName} client of a ${serverName} server gets answers, streams, errors and deadlines`, async (t) => {
        const directory = mkdtempSync('/tmp/skiff-lean-');
        const server = makeServer();
        let cancelled: () => void = () => {};
        const cancellation = new Promise<void>((resolve) => {
          cancelled = resolve;
        });
        addHandlers(server, () => cancelled());
        await server.listen(`unix://${directory}/s.sock`);
        using channel = open(`${directory}/s.sock`);
        t.after(async () => {
          channel.close();
          await server.close(50);
          rmSync(directory, { recursive: true });
        });
        const client = channel.client(RuntimeService);
        assert.equal((await client.version({ version: '0.1.0' })).version, '0.1.0');
        await assert.rejects(client.stopContainer({ containerId: 'x' }), (error) => {
          return isSkiffError(error, 'NOT_FOUND') && error.message.includes('"é%": no such');
        });
        await assert.rejects(client.listContainers({}), (error) => isSkiffError(error, 'UNIMPLEMENTED'));
        let count = 0;
        for await (const batch of client.streamContainers({})) {
          assert.match(batch.containers[0]?.id ?? '', new RegExp(`^${count} x{10000}$`));
          count += 1;
        }
        assert.equal(count, 200);
        await assert.rejects(client.execSync({}, { timeoutMs: 100 }), (error) =>
          isSkiffError(error, 'DEADLINE_EXCEEDED'),
        );
        for await (const event of client.getContainerEvents({})) {
          assert.equal(event.containerId, 'first');
          break;
        }
        await cancellation;
      });

test('calls without a server, or after it has gone, fail as unavailable', async () => {
  using nobody = openLeanChannel('/tmp/skiff-lean-nobody.sock');
  await assert.rejects(nobody.client(RuntimeService).version({}), (error) => {
    return isSkiffError(error, 'UNAVAILABLE') && /nobody.sock: .*ENOENT/.test(error.message);
  });
  await assert.rejects(nobody.client(RuntimeService).version({}), { code: 'UNAVAILABLE' });
});

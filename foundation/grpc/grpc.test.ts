import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { connectCri } from '#contracts/cri/client.ts';
import { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { createRpcServer } from './server.ts';

test('a service answers, streams, fails with its code, and says what it has not', async () => {
  const directory = mkdtempSync('/tmp/skiff-grpc-');
  const socket = `${directory}/s.sock`;
  const calls: string[] = [];
  const server = createRpcServer((call) => calls.push(call.method));
  server.add(RuntimeService, {
    version: async (request) => ({ version: request.version, runtimeName: 'skiff' }),
    stopContainer: async () => {
      throw new SkiffError('NOT_FOUND', 'Cannot stop container "x": no such container');
    },
    streamContainers: async function* () {
      yield { containers: [{ id: 'a' }] };
      yield { containers: [{ id: 'b' }] };
    },
  });
  await server.listen(`unix://${socket}`);
  using client = connectCri(socket);
  const version = await client.runtime.version({ version: '0.1.0' });
  assert.equal(version.runtimeName, 'skiff');
  await assert.rejects(client.runtime.stopContainer({ containerId: 'x' }), (error) => {
    return isSkiffError(error, 'NOT_FOUND') && error.message.includes('no such container');
  });
  await assert.rejects(client.runtime.execSync({}), (error) => isSkiffError(error, 'UNIMPLEMENTED'));
  const ids: string[] = [];
  for await (const batch of client.runtime.streamContainers({})) {
    ids.push(...batch.containers.map((each) => each.id));
  }
  assert.deepEqual(ids, ['a', 'b']);
  await assert.rejects(client.runtime.version({}, { signal: AbortSignal.abort() }));
  await server.close(100);
  rmSync(directory, { recursive: true });
  assert.deepEqual(calls.slice(0, 3), ['Version', 'StopContainer', 'ExecSync']);
});

test('the end of a call that was answered cancels nothing', async () => {
  const directory = mkdtempSync('/tmp/skiff-grpc-');
  const socket = `${directory}/s.sock`;
  const signals: AbortSignal[] = [];
  const server = createRpcServer();
  server.add(RuntimeService, {
    version: async (_request, { signal }) => {
      signals.push(signal);
      return {};
    },
    stopContainer: async (_request, { signal }) => {
      signals.push(signal);
      throw new SkiffError('NOT_FOUND', 'there is none');
    },
  });
  await server.listen(`unix://${socket}`);
  using client = connectCri(socket);
  for (let round = 0; round < 3; round += 1) {
    await client.runtime.version({});
    await assert.rejects(client.runtime.stopContainer({ containerId: 'x' }));
  }
  await server.close(1000);
  assert.deepEqual(
    signals.map(({ aborted }) => aborted),
    [false, false, false, false, false, false],
  );
  rmSync(directory, { recursive: true });
});

test('a server that closes waits for the calls that it cancels to undo what they began, for a while', async () => {
  const directory = mkdtempSync('/tmp/skiff-grpc-');
  const socket = `${directory}/s.sock`;
  const undoing = Promise.withResolvers<void>();
  const [began, cancelled] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let undone = false;
  const server = createRpcServer();
  server.add(RuntimeService, {
    async runPodSandbox(_request, { signal }) {
      began.resolve();
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      cancelled.resolve();
      await undoing.promise;
      undone = true;
      throw signal.reason;
    },
  });
  await server.listen(`unix://${socket}`);
  using client = connectCri(socket);
  const call = client.runtime.runPodSandbox({});
  const failed = assert.rejects(call, (error) => isSkiffError(error, 'UNAVAILABLE', 'CANCELLED'));
  await began.promise;
  const closed = server.close(1, 60_000).then(() => undone);
  await cancelled.promise;
  undoing.resolve();
  assert.equal(await closed, true);
  await failed;
  // Nothing is under way any more: this waits for nothing.
  await server.close(1, 60_000);
  rmSync(directory, { recursive: true });
});

test('a call that does not heed that it was cancelled keeps no server from closing', async () => {
  const directory = mkdtempSync('/tmp/skiff-grpc-');
  const socket = `${directory}/s.sock`;
  const [began, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const server = createRpcServer();
  server.add(RuntimeService, {
    async stopContainer() {
      began.resolve();
      await end.promise;
      return {};
    },
  });
  await server.listen(`unix://${socket}`);
  using client = connectCri(socket);
  const failed = assert.rejects(client.runtime.stopContainer({}));
  await began.promise;
  await server.close(1, 50);
  await failed;
  end.resolve();
  rmSync(directory, { recursive: true });
});

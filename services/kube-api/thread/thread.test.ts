import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ConfigMap } from '#contracts/kubernetes/types.ts';
import { createLogger, silentLogger } from '#foundation/base/log.ts';
import { testApiConfig } from '../testing/config.ts';
import { clientFor } from '../testing/node.ts';
import { type ApiThreadDeps, createApiThread } from './thread.ts';

const maps = '/api/v1/namespaces/default/configmaps';

function deps(directory: string, port = 0): ApiThreadDeps {
  return {
    config: { ...testApiConfig(directory), port },
    logLevel: 'silent',
    logger: silentLogger,
  };
}

async function withDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync('/tmp/skiff-');
  try {
    await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('serves from its thread until it is stopped, and again', async () => {
  await withDirectory(async (directory) => {
    const thread = createApiThread(deps(directory));
    for (const round of ['first', 'second']) {
      await thread.start();
      await using admin = clientFor(thread.adminKubeconfigPath);
      await admin.create(maps, { metadata: { name: round } });
      await thread.stop();
      await assert.rejects(admin.text('/healthz'), { code: 'UNAVAILABLE' });
    }
    await thread.start();
    await using admin = clientFor(thread.adminKubeconfigPath);
    await admin.get(`${maps}/first`);
    await admin.get(`${maps}/second`);
    await thread.stop();
  });
});

test('a thread that fails is started again where it was, with what it had acknowledged', async () => {
  await withDirectory(async (directory) => {
    const lines: string[] = [];
    const thread = createApiThread({
      ...deps(directory),
      entry: new URL('../testing/dying-worker.ts', import.meta.url),
      logger: createLogger('error', { write: (line) => void lines.push(line) }),
    });
    await thread.start();
    await using admin = clientFor(thread.adminKubeconfigPath);
    await admin.create(maps, { metadata: { name: 'kept' }, data: { a: 'b' } });
    const { url } = thread;
    writeFileSync(join(directory, 'die'), '');
    while (lines.length === 0) await sleep(10);
    assert.match(lines[0] ?? '', /told to die.*the API has ended; it is started again/);
    const kept = await whenUp(() => admin.get<ConfigMap>(`${maps}/kept`));
    assert.deepEqual(kept.data, { a: 'b' });
    assert.equal(thread.url, url);
    await thread.stop();
    await assert.rejects(admin.text('/healthz'), { code: 'UNAVAILABLE' });
  });
});

async function whenUp<T>(call: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + 60_000; ; await sleep(20)) {
    try {
      return await call();
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

test('what keeps the API from starting is told with its code', async () => {
  await withDirectory(async (directory) => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = taken.address() as AddressInfo;
      await assert.rejects(createApiThread(deps(directory, port)).start(), {
        code: 'UNAVAILABLE',
        message: /cannot listen at 127\.0\.0\.1/,
      });
    } finally {
      taken.close();
    }
  });
  await withDirectory(async (directory) => {
    writeFileSync(join(directory, 'objects.db'), 'this is no database');
    await assert.rejects(createApiThread(deps(directory)).start(), { code: 'DATA_LOSS' });
  });
});

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type CriClient, connectCri } from '#contracts/cri/client.ts';
import { NamespaceMode, PodSandboxState } from '#contracts/cri/runtime_pb.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { leakCheck } from '../../test/leaks.ts';
import { createCriServer } from './server.ts';

const noPid = { namespaceOptions: { pid: NamespaceMode.CONTAINER } };

async function startServer(t: TestContext) {
  const root = mkdtempSync('/tmp/skiff-cri-');
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const config = {
    paths,
    version: '0.0.0-test',
    log: silentLogger,
    cni: { configDir: join(paths.etc, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true },
  };
  let server = createCriServer(config);
  await server.listen();
  let client = connectCri(server.endpoint);
  t.after(async () => {
    const { items } = await client.runtime.listPodSandbox({});
    for (const { id } of items) await client.runtime.removePodSandbox({ podSandboxId: id });
    client.close();
    await server.close();
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  return {
    paths,
    client: (): CriClient => client,
    async restart() {
      client.close();
      await server.close();
      server = createCriServer(config);
      await server.listen();
      client = connectCri(server.endpoint);
    },
  };
}

const pod = (name: string, extra: object = {}) => ({
  config: {
    metadata: { name, namespace: 'default', uid: `uid-${name}`, attempt: 0 },
    linux: { securityContext: noPid },
    ...extra,
  },
});

test('a sandbox runs with a network of its own, survives a restart, stops and goes without a trace', async (t) => {
  const node = await startServer(t);
  const { runtime } = node.client();
  assert.equal((await runtime.version({})).runtimeName, 'skiff');
  const status = await runtime.status({ verbose: true });
  assert.deepEqual(
    status.status?.conditions.map((condition) => condition.status),
    [true, true],
  );
  const request = pod('a', {
    hostname: 'web',
    labels: { app: 'x' },
    dnsConfig: { servers: ['10.0.0.10'], searches: ['svc'], options: ['ndots:5'] },
  });
  const { podSandboxId: id } = await runtime.runPodSandbox(request);
  assert.match(id, /^[0-9a-f]{64}$/);
  assert.equal((await runtime.runPodSandbox(request)).podSandboxId, id, 'a retry gets the same sandbox');
  const shown = await runtime.podSandboxStatus({ podSandboxId: id.slice(0, 13), verbose: true });
  assert.equal(shown.status?.state, PodSandboxState.SANDBOX_READY);
  assert.match(shown.status?.network?.ip ?? '', /^10\.(8[89]|9[0-5])\.\d+\.\d+$/);
  assert.equal(shown.status?.network?.additionalIps.length, 1);
  assert.equal(
    readFileSync(join(node.paths.run, 'sandboxes', id, 'resolv.conf'), 'utf8'),
    'search svc\nnameserver 10.0.0.10\noptions ndots:5\n',
  );
  await node.restart();
  const again = node.client().runtime;
  const after = await again.podSandboxStatus({ podSandboxId: id });
  assert.deepEqual(after.status, shown.status);
  assert.equal((await again.listPodSandbox({ filter: { labelSelector: { app: 'x' } } })).items.length, 1);
  assert.equal((await again.listPodSandbox({ filter: { labelSelector: { app: 'y' } } })).items.length, 0);
  await again.stopPodSandbox({ podSandboxId: id });
  await again.stopPodSandbox({ podSandboxId: id });
  const stopped = await again.podSandboxStatus({ podSandboxId: id });
  assert.equal(stopped.status?.state, PodSandboxState.SANDBOX_NOTREADY);
  await assert.rejects(again.runPodSandbox(request), { code: 'ALREADY_EXISTS' });
  await again.removePodSandbox({ podSandboxId: id });
  await again.removePodSandbox({ podSandboxId: id });
  await assert.rejects(again.podSandboxStatus({ podSandboxId: id }), { code: 'NOT_FOUND' });
  assert.equal(existsSync(join(node.paths.run, 'ns', id)), false);
  assert.deepEqual(
    readdirSync(join(node.paths.lib, 'cni', 'networks', `skiff-${node.paths.tag}`)).filter(
      (name) => name.includes('.') && !name.startsWith('last'),
    ),
    [],
  );
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectCri } from '#contracts/cri/client.ts';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { testPlugins, until } from '../../../test/nri-fixture.ts';
import { createCriServer } from '../server.ts';

test('over the CRI: a plugin refuses a sandbox, which is undone, and follows the next one to its end', async (t) => {
  const root = mkdtempSync('/tmp/skiff-cri-');
  chmodSync(root, 0o711);
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const cni = { configDir: join(paths.etc, 'cni'), binDirs: ['/usr/lib/cni'], writeDefault: true };
  const server = createCriServer({ paths, version: '0.0.0-test', log: silentLogger, cni });
  await server.listen();
  const { runtime, close } = connectCri(server.endpoint);
  t.after(async () => {
    const { items } = await runtime.listPodSandbox({});
    for (const { id } of items) await runtime.removePodSandbox({ podSandboxId: id });
    close();
    await server.close();
    assert.equal(existsSync(socket), false, 'the socket goes with the server');
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  const socket = join(paths.run, 'nri.sock');
  assert.equal(statSync(socket).mode & 0o777, 0o600);
  const plugins = testPlugins(t, mkdtempSync('/tmp/skiff-nri-'), socket, () => []);
  const run = () =>
    runtime.runPodSandbox({
      config: {
        metadata: { name: 'p', namespace: 'default', uid: 'u', attempt: 0 },
        linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
      },
    });
  const refusing = plugins.spawn('10', 'no', { fail: ['RunPodSandbox'] });
  const synchronized = (name: string) =>
    until(`plugin ${name}`, () =>
      plugins.told().some((one) => one.plugin === name && one.method === 'Synchronize'),
    );
  await synchronized('no');
  await assert.rejects(run(), /NRI plugin "10-no": RunPodSandbox refused/);
  assert.deepEqual((await runtime.listPodSandbox({})).items, []);
  assert.deepEqual(plugins.events(), ['no RunPodSandbox', 'no StopPodSandbox', 'no RemovePodSandbox']);
  refusing.kill('SIGKILL');
  await once(refusing, 'exit');
  plugins.spawn('20', 'yes');
  await synchronized('yes');
  const { podSandboxId } = await run();
  await runtime.updatePodSandboxResources({ podSandboxId, resources: { cpuShares: 100n } });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.stopPodSandbox({ podSandboxId });
  await runtime.removePodSandbox({ podSandboxId });
  assert.deepEqual(
    plugins.events().filter((event) => event.startsWith('yes')),
    ['RunPodSandbox', 'UpdatePodSandbox', 'PostUpdatePodSandbox', 'StopPodSandbox', 'RemovePodSandbox'].map(
      (method) => `yes ${method}`,
    ),
  );
});

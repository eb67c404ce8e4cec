import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connectCri } from '#contracts/cri/client.ts';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { leakCheck } from '../../test/leaks.ts';

const program = `
  import { silentLogger } from '#foundation/base/log.ts';
  import { pathsUnder } from '#foundation/base/paths.ts';
  import { createCriServer } from '#services/cri-server/server.ts';
  const paths = pathsUnder(process.env.ROOT);
  const cni = { configDir: paths.etc + '/cni', binDirs: ['/usr/lib/cni'], writeDefault: true };
  const server = createCriServer({ paths, version: '0.0.0', log: silentLogger, cni });
  await server.listen();
  process.on('SIGTERM', () => server.close().then(() => process.exit(0)));
  console.log('ready');
`;

async function start(root: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    cwd: join(import.meta.dirname, '../..'),
    env: { ...process.env, ROOT: root },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout ?? child, 'data');
  return child;
}

test('a server that is killed at any moment keeps what it acknowledged and takes back the rest', async (t) => {
  const root = mkdtempSync('/tmp/skiff-kill-');
  chmodSync(root, 0o711);
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const leases = join(paths.lib, 'cni', 'networks', `skiff-${paths.tag}`);
  const leased = () => (existsSync(leases) ? readdirSync(leases).filter((name) => /^10\./.test(name)) : []);
  let server = await start(root);
  t.after(() => void server.kill('SIGKILL'));
  const acknowledged = new Set<string>();
  for (const [round, milliseconds] of [15, 50, 120].entries()) {
    using client = connectCri(`unix://${paths.criSocket}`);
    const calls = Array.from({ length: 6 }, async (_, at) => {
      const metadata = { name: `p${round}-${at}`, namespace: 'd', uid: 'u', attempt: 0 };
      const pid = at === 0 ? NamespaceMode.POD : NamespaceMode.CONTAINER;
      const config = { metadata, linux: { securityContext: { namespaceOptions: { pid } } } };
      acknowledged.add((await client.runtime.runPodSandbox({ config })).podSandboxId);
    });
    // While they run, half of what is there is removed.
    const removals = [...acknowledged].slice(0, 3).map(async (podSandboxId) => {
      acknowledged.delete(podSandboxId);
      await client.runtime.removePodSandbox({ podSandboxId });
    });
    const settled = Promise.allSettled([...calls, ...removals]);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
    await settled;
    server = await start(root);
    using after = connectCri(`unix://${paths.criSocket}`);
    const { items } = await after.runtime.listPodSandbox({});
    const ready = items.filter(({ state }) => state === 0).map(({ id }) => id);
    assert.deepEqual(
      [...acknowledged].filter((id) => !ready.includes(id)),
      [],
      `round ${round}`,
    );
    assert.equal(leased().length, ready.length, 'an address for each ready sandbox');
    for (const { id } of items) acknowledged.add(id);
  }
  using client = connectCri(`unix://${paths.criSocket}`);
  const { items } = await client.runtime.listPodSandbox({});
  for (const { id } of items) await client.runtime.removePodSandbox({ podSandboxId: id });
  assert.deepEqual(leased(), []);
  const ended = once(server, 'exit');
  server.kill('SIGTERM');
  await ended;
  await leaks.assertClean();
  rmSync(root, { recursive: true });
});

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { NamespaceMode, RunPodSandboxRequestSchema } from '#contracts/cri/runtime_pb.ts';
import { silentLogger } from '#foundation/base/log.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { unmount } from '#foundation/linux/mount.ts';
import { prepareNamespaces } from '#foundation/linux/namespaces.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { createExecutingRunner } from '../network/cni/execute.ts';
import { removeDefaultBridge } from '../network/default-bridge.ts';
import { writeDefaultConfig } from '../network/default-config.ts';
import { createPodNetwork } from '../network/index.ts';
import { openStore, type Store } from '../store/store.ts';
import { createSandboxes, createSandboxHost, type SandboxService } from './index.ts';

/** Fails the call number `at`, before or after it did its work; counts the calls of acquiring methods. */
interface Saboteur {
  at: number;
  when: 'before' | 'after';
  calls: string[];
  /** Names of releasing methods that fail as long as they are listed. */
  broken: Set<string>;
}

function sabotage<T extends object>(target: T, saboteur: Saboteur, acquiring: readonly string[]): T {
  return new Proxy(target, {
    get(object, name) {
      const value = Reflect.get(object, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        if (saboteur.broken.has(String(name))) throw new Error(`${String(name)} is broken`);
        if (!acquiring.includes(String(name))) return value.apply(object, args);
        const hit = saboteur.calls.push(String(name)) - 1 === saboteur.at;
        if (hit && saboteur.when === 'before') throw new Error(`injected before ${String(name)}`);
        const result = value.apply(object, args);
        if (!hit) return result;
        const fail = () => {
          throw new Error(`injected after ${String(name)}`);
        };
        return result instanceof Promise ? result.then(fail) : fail();
      };
    },
  });
}

async function setUp(t: TestContext) {
  const root = mkdtempSync('/tmp/skiff-rb-');
  const leaks = leakCheck(root);
  const paths = pathsUnder(root);
  const saboteur: Saboteur = { at: -1, when: 'before', calls: [], broken: new Set() };
  await prepareNamespaces();
  const configDir = join(paths.etc, 'cni');
  const leases = join(paths.lib, 'cni', 'networks');
  writeDefaultConfig({ configDir, dataDir: leases, tag: paths.tag });
  const spawner = createSpawner();
  const store = openStore(join(paths.lib, 'cri.db'));
  const network = createPodNetwork({
    configDir,
    runner: createExecutingRunner({ binDirs: ['/usr/lib/cni'], timeoutMs: 20_000 }),
    log: silentLogger,
  });
  const pause = {
    start: async () => ({ pid: 1, startTime: 0, namespace: '' }),
    stop: async () => {},
    alive: () => true,
  };
  const fragileStore: Store = {
    ...store,
    records: (...args) => sabotage(store.records(...args), saboteur, ['put']),
  };
  const open = (): SandboxService =>
    createSandboxes({
      store: fragileStore,
      run: paths.run,
      host: sabotage(createSandboxHost(paths.run, pause, spawner), saboteur, [
        'makeDirectories',
        'makeFiles',
        'makeNamespaces',
        'writeHosts',
        'startPause',
      ]),
      network: sabotage(network, saboteur, ['plan', 'attach']),
      pods: () => undefined,
      containers: () => ({ killAll: async () => {}, removeAll: async () => {} }),
      hooks: sabotage(
        {
          run: async () => {},
          undo: async () => {},
          stop: async () => {},
          remove: async () => {},
          update: async () => {},
        },
        saboteur,
        ['run'],
      ),
      resolveHandler: (name) => name || 'runc',
      emit: () => {},
      log: silentLogger,
    });
  t.after(async () => {
    network.close();
    unmount(join(paths.run, 'sandboxes'));
    store.close();
    spawner[Symbol.dispose]();
    removeDefaultBridge(paths.tag);
    await leaks.assertClean();
    rmSync(root, { recursive: true });
  });
  const leased = () => {
    const directory = join(leases, `skiff-${paths.tag}`);
    return existsSync(directory) ? readdirSync(directory).filter((name) => /^[\d.]+$/.test(name)) : [];
  };
  const remains = () => ({
    // The bridge itself stays until the server closes.
    machine: leaks
      .left()
      .filter((line) => line !== `interface skiff${paths.tag}` && !line.endsWith('/run/sandboxes')),
    leases: leased(),
    directories: readdirSync(join(paths.run, 'sandboxes')),
    records: store.records('sandbox', 1).all().length,
  });
  return { saboteur, open, remains, paths };
}

const nothing = { machine: [], leases: [], directories: [], records: 0 };

function request(extra: { hostname?: string; name?: string } = {}) {
  const { name = 'p', hostname = '' } = extra;
  const metadata = { name, namespace: 'default', uid: 'u', attempt: 0 };
  const securityContext = { namespaceOptions: { pid: NamespaceMode.POD } };
  return create(RunPodSandboxRequestSchema, { config: { metadata, hostname, linux: { securityContext } } });
}

const signal = new AbortController().signal;

test('a failure before or after any step leaves nothing behind, and the same request works afterwards', async (t) => {
  const { saboteur, open, remains } = await setUp(t);
  const sandboxes = open();
  const tried: string[] = [];
  for (const when of ['before', 'after'] as const) {
    for (let at = 0; ; at += 1) {
      Object.assign(saboteur, { at, when, calls: [] });
      const outcome = await sandboxes.run(request(), signal).then(
        (id) => ({ id }),
        (error: Error) => ({ error }),
      );
      if ('id' in outcome) {
        saboteur.at = -1;
        await sandboxes.remove(outcome.id, signal);
        break;
      }
      assert.match(
        outcome.error.message,
        /^Cannot run the sandbox of pod default\/p: injected (before|after)/,
      );
      tried.push(`${when} ${saboteur.calls[at]}`);
      await settled(() => assert.deepEqual(remains(), nothing, `after a failure ${tried.at(-1)}`));
      assert.deepEqual(sandboxes.list(), []);
    }
  }
  const steps = [
    'plan',
    'put',
    'makeDirectories',
    'makeFiles',
    'makeNamespaces',
    'attach',
    'writeHosts',
    'startPause',
    'run',
    'put',
  ];
  assert.deepEqual(
    tried,
    ['before', 'after'].flatMap((when) => steps.map((step) => `${when} ${step}`)),
  );
  await settled(() => assert.deepEqual(remains(), nothing));
});

test('a cancelled call leaves nothing behind', async (t) => {
  const { open, remains } = await setUp(t);
  const sandboxes = open();
  const controller = new AbortController();
  const running = sandboxes.run(request(), controller.signal);
  setTimeout(() => controller.abort(), 15);
  await assert.rejects(running, /cancelled|aborted/i);
  await settled(() => assert.deepEqual(remains(), nothing));
});

test('when the rollback fails too, the sandbox shows as not ready and can be stopped and removed', async (t) => {
  const { saboteur, open, remains } = await setUp(t);
  const sandboxes = open();
  Object.assign(saboteur, { at: 8, when: 'before', broken: new Set(['detach']) });
  await assert.rejects(sandboxes.run(request(), signal), /injected before run/);
  const [left] = sandboxes.list();
  assert.equal(left?.ready, false);
  const id = left?.id ?? '';
  await assert.rejects(sandboxes.run(request(), signal), { code: 'ALREADY_EXISTS' });
  await assert.rejects(sandboxes.stop(id, signal), /Cannot stop sandbox .*: detach is broken/);
  saboteur.broken.clear();
  await sandboxes.stop(id, signal);
  await sandboxes.remove(id, signal);
  await settled(() => assert.deepEqual(remains(), nothing));
});

test('start-up takes away what a crash left half made', async (t) => {
  const { saboteur, open, remains } = await setUp(t);
  const crashed = open();
  // Every way back is broken, as if the process had died at that step.
  const releases = ['detach', 'releaseNamespaces', 'unmountShm', 'removeDirectories', 'stopPause', 'delete'];
  for (let at = 2; at < 9; at += 1) {
    Object.assign(saboteur, { at, when: 'after', calls: [], broken: new Set(releases) });
    await assert.rejects(crashed.run(request({ hostname: `h${at}`, name: `p${at}` }), signal));
  }
  saboteur.at = -1;
  saboteur.broken.clear();
  const restarted = open();
  await restarted.recover();
  for (const { id, ready } of restarted.list()) {
    assert.equal(ready, false);
    await restarted.remove(id, signal);
  }
  await settled(() => assert.deepEqual(remains(), nothing));
});

/** The kernel takes interfaces of dead namespaces away a moment later. */
async function settled(assertion: () => void): Promise<void> {
  for (let round = 0; ; round += 1) {
    try {
      return assertion();
    } catch (error) {
      if (round === 60) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { RuntimeDriver } from '#contracts/oci/runtime-driver.ts';
import { cgroupDirectories } from '#foundation/linux/cgroups.ts';
import { mount, unmount } from '#foundation/linux/mount.ts';
import { type Fixture, openFixture } from '../../../test/containers-fixture.ts';
import type { Core } from './deps.ts';
import { removeContainer } from './remove.ts';

/** Replaces a method of the core's drivers. */
function withDriver(core: Core, change: Partial<RuntimeDriver>): () => void {
  const { driver } = core.runtimes;
  core.runtimes.driver = (name) => ({ ...driver(name), ...change });
  return () => {
    core.runtimes.driver = driver;
  };
}

async function nothingLeft(fixture: Fixture): Promise<void> {
  const { core } = fixture.containers;
  assert.deepEqual(core.table.all(), []);
  assert.deepEqual(fixture.store.records('container', 1).all(), []);
  for (const directory of [
    'lib/containers',
    'roots',
    'run/attach',
    'run/exits',
    'run/runtimes/runc',
    'run/runtimes/crun',
  ])
    assert.deepEqual(entries(join(fixture.root, directory)), [], directory);
}

function entries(path: string): string[] {
  return existsSync(path) ? readdirSync(path) : [];
}

/** Each step of CreateContainer, and how to make it fail. */
const failures: {
  step: string;
  break: (fixture: Fixture) => () => void;
  config?: object;
  message: RegExp;
}[] = [
  {
    step: 'the record',
    break: ({ containers: { core } }) => {
      const { add } = core.table;
      core.table.add = () => {
        throw new Error('injected: disk full');
      };
      return () => {
        core.table.add = add;
      };
    },
    message: /injected: disk full/,
  },
  {
    step: 'the root',
    break: ({ images }) => {
      images.fail = '';
      return () => {
        images.fail = undefined;
      };
    },
    message: /injected: no root/,
  },
  {
    step: 'an image volume',
    break: ({ images }) => {
      images.fail = '/0';
      return () => {
        images.fail = undefined;
      };
    },
    config: { mounts: [{ containerPath: '/v', readonly: true, image: { image: 'busybox' } }] },
    message: /injected: no root/,
  },
  {
    step: 'config.json',
    break: () => () => {},
    config: { devices: [{ hostPath: '/nodev', containerPath: '/x' }] },
    message: /device "\/nodev"/,
  },
  {
    step: 'the runtime',
    break: () => () => {},
    config: { command: ['/nothere'] },
    message: /nothere.*no such file/i,
  },
  {
    step: 'the last record',
    break: ({ containers: { core } }) => {
      const { change } = core.table;
      core.table.change = () => {
        throw new Error('injected: disk full');
      };
      return () => {
        core.table.change = change;
      };
    },
    message: /injected: disk full/,
  },
];

test('a full disk is told as such; once there is room the same create works', async (t) => {
  const fixture = await openFixture(t);
  const target = join(fixture.root, 'lib/containers');
  mkdirSync(target, { recursive: true });
  // Two inodes: the directory itself and the bundle; there is none for a file.
  mount({ source: 'full', target, type: 'tmpfs', data: 'nr_inodes=2' });
  const create = () => fixture.create({ command: ['sleep', '100'] }, 'x');
  await assert.rejects(create(), (error: Error & { code: string }) => {
    assert.equal(error.code, 'RESOURCE_EXHAUSTED');
    assert.match(error.message, /Cannot create container "x".*no space left/i);
    return true;
  });
  unmount(target);
  await nothingLeft(fixture);
  await create();
});

for (const failure of failures)
  test(`a create that fails at ${failure.step} leaves nothing, and its retry works`, async (t) => {
    const fixture = await openFixture(t);
    const repair = failure.break(fixture);
    await assert.rejects(
      fixture.create({ command: ['sleep', '100'], ...failure.config }, 'x'),
      failure.message,
    );
    repair();
    await nothingLeft(fixture);
    await fixture.create({ command: ['sleep', '100'] }, 'x');
  });

test('the last container that goes leaves the cgroup of one that is being created', async (t) => {
  const fixture = await openFixture(t);
  const { core } = fixture.containers;
  const first = await fixture.create({ command: ['sleep', '100'] }, 'first');
  const { cgroupPath, runtime } = core.table.find(first)?.record ?? {};
  const { create } = core.runtimes.driver(runtime ?? '');
  const parents = () =>
    cgroupDirectories(core.host.cgroups, dirname(cgroupPath ?? '')).filter((path) => existsSync(path));
  const repair = withDriver(core, {
    create: async (request) => {
      await removeContainer(core, first);
      assert.ok(parents().length > 0);
      return await create(request);
    },
  });
  const second = await fixture.create({ command: ['sleep', '100'] }, 'second');
  repair();
  await removeContainer(core, second);
  assert.deepEqual(parents(), []);
});

test('a failed start ends the container with 128 StartError', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.create({ command: ['sleep', '100'] });
  const repair = withDriver(fixture.containers.core, {
    start: async () => {
      throw new Error('injected: no start');
    },
  });
  await assert.rejects(fixture.start(id), /injected: no start/);
  repair();
  const { state, exitCode, reason, message } = await fixture.status(id);
  assert.deepEqual([state, exitCode, reason, message], [2, 128, 'StartError', 'injected: no start']);
  await assert.rejects(fixture.start(id), { code: 'FAILED_PRECONDITION' });
});

test('a removal that fails can be repeated', async (t) => {
  const fixture = await openFixture(t);
  const id = await fixture.run('sleep 100');
  const { images } = fixture;
  const { removeRoot } = images;
  images.removeRoot = async () => {
    throw new Error('injected: busy');
  };
  const remove = () =>
    fixture.containers.ofSandboxes.removeAll(fixture.sandbox.id, new AbortController().signal);
  await assert.rejects(remove(), /injected: busy/);
  assert.equal((await fixture.status(id)).state, 2);
  images.removeRoot = removeRoot;
  await remove();
  await nothingLeft(fixture);
});

import assert from 'node:assert/strict';
import { closeSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { ociVersion, type RuntimeSpec } from '#contracts/oci/runtime.ts';
import type { RuntimeProbe } from '#contracts/oci/runtime-driver.ts';
import { type DriverUnderTest, runtimeDriverSuite } from '#contracts/oci/runtime-driver-suite.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { cgroupLayout, removeCgroup } from '#foundation/linux/cgroups.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { outputPipe } from '#foundation/linux/spawn-command.ts';
import { makeBusyboxRoot } from '../../../test/containers-fixture.ts';
import { leakCheck } from '../../../test/leaks.ts';
import { runtimeMessage } from './conmon.ts';
import { probeRuntimes } from './probe.ts';
import { runtimeTable } from './table.ts';

async function openProbe(t: TestContext, candidates: { name: string; path?: string }[], timeoutMs = 20_000) {
  const root = mkdtempSync('/tmp/skiff-c-');
  const { run, tag } = pathsUnder(root);
  const leaks = leakCheck(root);
  const spawner = createSpawner();
  const paths = { exits: join(run, 'exits'), attach: join(run, 'attach') };
  for (const path of Object.values(paths)) mkdirSync(path, { recursive: true });
  const probes: RuntimeProbe[] = [];
  t.after(async () => {
    for (const probe of probes)
      if (probe.usable)
        for (const id of await probe.driver.list()) await probe.driver.delete(id, { force: true });
    spawner[Symbol.dispose]();
    await removeCgroup(cgroupLayout(), `/skiff-${tag}`);
    rmSync(root, { recursive: true });
    await leaks.assertClean();
  });
  probes.push(
    ...(await probeRuntimes({
      spawner,
      paths,
      stateRoot: join(run, 'runtimes'),
      tag,
      candidates,
      timeoutMs,
    })),
  );
  return { root, paths, tag, probes };
}

async function openDriver(
  t: TestContext,
  name: string,
  path?: string,
  timeoutMs?: number,
): Promise<DriverUnderTest> {
  const { root, paths, tag, probes } = await openProbe(t, [{ name, path }], timeoutMs);
  const driver = runtimeTable(probes).driver(name);
  makeBusyboxRoot(join(root, 'rootfs'));
  const bundle: DriverUnderTest['bundle'] = (id, args, change) => {
    const directory = join(root, id);
    mkdirSync(directory, { recursive: true });
    const spec = testSpec(join(root, 'rootfs'), args, `/skiff-${tag}/${id}`);
    change?.(spec);
    writeFileSync(join(directory, 'config.json'), JSON.stringify(spec));
    return {
      id,
      bundle: directory,
      spec,
      stdin: false,
      stdinStaysOpen: false,
      logPath: join(directory, 'log'),
    };
  };
  return {
    driver,
    paths,
    bundle,
    processFile: (request, args) => {
      const file = join(request.bundle, 'process.json');
      writeFileSync(file, JSON.stringify({ ...request.spec.process, args }));
      return file;
    },
    outputPipe: () => {
      const pipe = outputPipe(100_000);
      return {
        fd: pipe.writeFd,
        read: async () => {
          closeSync(pipe.writeFd);
          return (await pipe.complete).toString();
        },
      };
    },
  };
}

function testSpec(rootfs: string, args: string[], cgroupsPath: string): RuntimeSpec {
  return {
    ociVersion,
    process: { user: { uid: 0, gid: 0 }, args, cwd: '/', env: ['PATH=/bin'] },
    root: { path: rootfs },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
    linux: { namespaces: [{ type: 'pid' }, { type: 'mount' }], cgroupsPath },
  };
}

const here = await (async () => {
  const stop: (() => void | Promise<void>)[] = [];
  const found = await openProbe({ after: (work: () => Promise<void>) => stop.push(work) } as never, [
    { name: 'crun' },
    { name: 'runc' },
  ]);
  for (const work of stop) await work();
  return found.probes;
})();

for (const probe of here)
  if (probe.usable) runtimeDriverSuite(probe.name, (t) => openDriver(t, probe.name));
  else
    test(`${probe.name} is left out with a reason and a remedy`, () => {
      assert.ok(probe.reason.length > 5 && probe.remedy.length > 5);
    });

test('at least one runtime works on this machine', () => {
  assert.ok(here.some((probe) => probe.usable));
});

/** A runtime that behaves until it is told to create or exec something. */
function brokenRuntime(root: string, behaviour: string): string {
  const path = join(root, 'broken');
  writeFileSync(
    path,
    `#!/bin/sh\ncase "$*" in *--version*) echo broken version 9.9; exit 0;; *probe-*) exec runc "$@";; *" delete "*) exec runc "$@";; esac\n${behaviour}\n`,
    { mode: 0o755 },
  );
  return path;
}

const behaviours: { name: string; script: string; message: RegExp; code?: string }[] = [
  {
    name: 'hangs',
    script: 'sleep 1000',
    message: /did not answer within 1500 ms/,
    code: 'DEADLINE_EXCEEDED',
  },
  { name: 'crashes', script: 'kill -SEGV $$', message: /INTERNAL|ended|reason|broken/ },
  {
    name: 'prints rubbish and fails',
    script: 'echo rubbish; echo "\\001\\377 more" >&2; exit 3',
    message: /rubbish|more/,
  },
  { name: 'claims success without a process', script: 'exit 0', message: /conmon|broken|process/ },
];

for (const { name, script, message, code } of behaviours)
  test(`a runtime that ${name} ends in a clear error and leaves no process`, async (t) => {
    const directory = mkdtempSync('/tmp/skiff-c-');
    t.after(() => rmSync(directory, { recursive: true }));
    const { driver, bundle } = await openDriver(t, 'broken', brokenRuntime(directory, script), 1500);
    const start = performance.now();
    await assert.rejects(driver.create(bundle('x', ['true'])), (error: Error & { code: string }) => {
      assert.match(error.message, message);
      if (code !== undefined) assert.equal(error.code, code);
      return true;
    });
    assert.ok(performance.now() - start < 15_000);
  });

test('a runtime that answers "state" with rubbish is named', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-c-');
  t.after(() => rmSync(directory, { recursive: true }));
  const path = brokenRuntime(
    directory,
    'case "$*" in *" state "*) echo "{not json";; *) exec runc "$@";; esac',
  );
  const { driver, bundle } = await openDriver(t, 'broken', path);
  await driver.create(bundle('x', ['sleep', '10']));
  await assert.rejects(driver.state('x'), /broken answered "state" with rubbish: \{not json/);
  await driver.delete('x', { force: true });
});

test('runtimes are chosen by trying, and what does not work is told', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-c-');
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'refuses');
  writeFileSync(
    path,
    '#!/bin/sh\ncase "$*" in *--version*) echo refuses 1.0;; *) echo no thanks >&2; exit 1;; esac\n',
    { mode: 0o755 },
  );
  const { probes } = await openProbe(t, [{ name: 'absent' }, { name: 'refuses', path }, { name: 'runc' }]);
  assert.deepEqual(
    probes.map((probe) => (probe.usable ? 'works' : probe.reason)),
    ['no program absent', 'no thanks', 'works'],
  );
  const table = runtimeTable(probes);
  assert.equal(table.defaultHandler(), 'runc');
  assert.throws(() => table.driver('refuses'), { code: 'FAILED_PRECONDITION' });
  assert.throws(() => table.driver('other'), { code: 'NOT_FOUND' });
  assert.throws(() => runtimeTable([]).driver(''), /no OCI runtime works/);
});

test('what runtimes log becomes one plain sentence', () => {
  assert.equal(
    runtimeMessage(
      'time="x" level=warning msg="w"\ntime="x" level=error msg="runc create failed: \\"a\\""\n',
    ),
    'runc create failed: "a"',
  );
  assert.equal(
    runtimeMessage('2024-01-02T03:04:05.678Z: executable file `x` not found'),
    'executable file `x` not found',
  );
  assert.equal(runtimeMessage(''), 'it gave no reason');
});

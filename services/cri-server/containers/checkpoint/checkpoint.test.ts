/**
 * Checkpoint and restore. Debian's CRIU does not run on every kernel, so most tests put a runc in between that does
 * CRIU's part by pretending: it "dumps" a file, and "restores" by running the container anew.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { context, type Fixture, openFixture } from '../../../../test/containers-fixture.ts';

const realPath = process.env.PATH ?? '';

const pretender = `#!/bin/sh
case " $* " in
  *" checkpoint "* | *" restore "*) ;;
  *) exec /usr/sbin/runc "$@" ;;
esac
global=$1 command=$2 fail=$(dirname "$0")/fail
shift 2
while [ $# -gt 1 ]; do
  case $1 in
    --image-path) images=$2; shift ;;
    --work-path) work=$2; shift ;;
    --bundle | -b) bundle=$2; shift ;;
    --pid-file) pid=$2; shift ;;
  esac
  shift
done
if [ -e "$fail" ]; then echo "criu failed: type $command errno 5" >&2; exit 1; fi
if [ "$command" = checkpoint ]; then
  echo pages > "$images/pages-1.img"
  echo dumped > "$work/dump.log"
else
  grep -q pages "$images/pages-1.img" || exit 1
  sed -i 's#{"type":"uts","path":"[^"]*"}#{"type":"uts"}#' "$bundle/config.json"
  exec /usr/sbin/runc "$global" run --detach --bundle "$bundle" --pid-file "$pid" "$1"
fi
`;

/** A fixture whose runc pretends, and whose criu says that it works. */
async function openPretending(t: TestContext): Promise<Fixture & { bin: string }> {
  return withPrograms(t, { runc: pretender, criu: '#!/bin/sh\nexit 0\n' });
}

async function withPrograms(t: TestContext, programs: Record<string, string>) {
  const bin = execFileSync('mktemp', ['-d', '/tmp/skiff-bin-XXXXXX'], { encoding: 'utf8' }).trim();
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(bin, name), text);
    chmodSync(join(bin, name), 0o755);
  }
  process.env.PATH = `${bin}:/usr/sbin:/usr/bin:/sbin:/bin`;
  t.after(() => {
    process.env.PATH = realPath;
    execFileSync('rm', ['-r', bin]);
  });
  const fixture = await openFixture(t, { runtime: 'runc' });
  return Object.assign(fixture, { bin });
}

/** What is left where archives are made and read. */
function halfMade({ root }: Fixture): string[] {
  const directory = join(root, 'lib/checkpoints');
  return existsSync(directory) ? readdirSync(directory) : [];
}

const checkpoint = (fixture: Fixture, containerId: string, location: string, timeout = 0n) =>
  fixture.containers.handlers.checkpointContainer?.({ containerId, location, timeout } as never, context);

test('a checkpoint is an archive for root only, and the container runs on', async (t) => {
  const fixture = await openPretending(t);
  const id = await fixture.run('sleep 100');
  const location = join(fixture.root, 'made/here.tar');
  await checkpoint(fixture, id, location);
  const listed = execFileSync('tar', ['-tf', location], { encoding: 'utf8' }).split('\n');
  for (const name of ['checkpoint/pages-1.img', 'spec.dump', 'config.dump', 'rootfs-diff.tar', 'dump.log'])
    assert.ok(listed.includes(name), `${name} is not in ${listed.join()}`);
  assert.equal(statSync(location).mode & 0o777, 0o600);
  const described = JSON.parse(execFileSync('tar', ['-xOf', location, 'config.dump'], { encoding: 'utf8' }));
  assert.deepEqual([described.id, described.rootfsImageName], [id, 'docker.io/library/busybox:latest']);
  assert.equal((await fixture.exec(id, 'echo alive')).stdout, 'alive\n', 'it is not paused any more');
  assert.deepEqual(halfMade(fixture), []);
  assert.deepEqual(readdirSync(join(fixture.root, 'made')), ['here.tar']);
});

test('a container made of a checkpoint is created, outlives a restart of the server, and is restored at its start', async (t) => {
  const fixture = await openPretending(t);
  const first = await fixture.run('echo begun; sleep 100');
  const location = join(fixture.root, 'c.tar');
  await checkpoint(fixture, first, location);
  const config = { image: { image: location }, command: ['sh', '-c', 'echo again; exit 5'] };
  const id = await fixture.create(config, 'restored');
  assert.equal(await fixture.create(config, 'restored'), id, 'a repeated request gets the same');
  assert.equal((await fixture.status(id)).state, 0);
  await fixture.reopen();
  assert.equal((await fixture.status(id)).state, 0);
  await fixture.start(id);
  await fixture.ended(id);
  const { exitCode, logPath } = await fixture.status(id);
  assert.equal(exitCode, 5);
  assert.match(readFileSync(logPath, 'utf8'), / stdout F again\n/);
  assert.equal(existsSync(join(fixture.root, 'lib/containers', id, 'checkpoint')), false);
  assert.deepEqual(halfMade(fixture), []);
  await fixture.containers.handlers.removeContainer?.({ containerId: id } as never, context);
  // One that is removed before its start leaves nothing either.
  const unused = await fixture.create({ image: { image: location }, command: ['true'] }, 'unused');
  await fixture.containers.handlers.stopContainer?.({ containerId: unused, timeout: 1n } as never, context);
  await fixture.containers.handlers.removeContainer?.({ containerId: unused } as never, context);
  assert.equal(existsSync(join(fixture.root, 'lib/containers', unused)), false);
});

test('a restored container is called as its pod is now, not as that of then', async (t) => {
  const fixture = await openPretending(t);
  const first = await fixture.run('sleep 100');
  const location = join(fixture.root, 'c.tar');
  await checkpoint(fixture, first, location);
  const id = await fixture.create({ image: { image: location }, command: ['sleep', '100'] });
  const { namespaces, files } = fixture.sandbox;
  writeFileSync(files.hostname, 'renamed\n');
  await fixture.start(id);
  const { life } = fixture.containers.core.table.get(id).record;
  assert.ok(life.phase === 'running');
  const own = statSync(`/proc/${life.process.pid}/ns/uts`).ino;
  assert.notEqual(own, statSync(namespaces.uts ?? '').ino, 'the pretending CRIU makes one of its own');
  assert.equal((await fixture.exec(id, 'hostname')).stdout, 'renamed\n');
});

test('what CRIU cannot do is told in its words; the container goes on, and no archive is left', async (t) => {
  const fixture = await openPretending(t);
  const id = await fixture.run('sleep 100');
  const location = join(fixture.root, 'out/c.tar');
  await checkpoint(fixture, id, location);
  writeFileSync(join(fixture.bin, 'fail'), '');
  const before = readFileSync(location);
  await assert.rejects(
    checkpoint(fixture, id, location) ?? Promise.resolve(),
    /criu failed: type checkpoint errno 5/,
  );
  assert.deepEqual(readFileSync(location), before, 'the archive that was there is whole');
  assert.deepEqual(readdirSync(join(fixture.root, 'out')), ['c.tar']);
  assert.equal((await fixture.exec(id, 'echo alive')).stdout, 'alive\n');
  const broken = await fixture.create({ image: { image: location }, command: ['true'] });
  await assert.rejects(fixture.start(broken), /criu failed: type restore errno 5/);
  const status = await fixture.status(broken);
  assert.deepEqual([status.state, status.exitCode, status.reason], [2, 128, 'StartError']);
});

test('requests that cannot be honoured say why', async (t) => {
  const fixture = await openPretending(t);
  const id = await fixture.run('sleep 100');
  const reject = (work: unknown, code: string, message: RegExp) =>
    assert.rejects(Promise.resolve(work), (error: { code: string; message: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });
  await reject(checkpoint(fixture, id, 'here.tar'), 'INVALID_ARGUMENT', /no absolute path/);
  await reject(checkpoint(fixture, id, '/tmp/x.tar', -1n), 'INVALID_ARGUMENT', /below 0/);
  await reject(checkpoint(fixture, 'f'.repeat(64), '/tmp/x.tar'), 'NOT_FOUND', /no container/);
  const idle = await fixture.create({ command: ['true'] });
  await reject(checkpoint(fixture, idle, '/tmp/x.tar'), 'FAILED_PRECONDITION', /created, not running/);
  const { namespaces } = fixture.sandbox;
  namespaces.user = '/proc/self/ns/user'; // That there is one is all that counts.
  await reject(checkpoint(fixture, id, '/tmp/x.tar'), 'FAILED_PRECONDITION', /user namespace.*hostUsers/);
  delete namespaces.user;
  const directory = join(fixture.root, 'made');
  const archive = (name: string, files: Record<string, string>) => {
    const content = join(directory, name);
    mkdirSync(join(content, 'checkpoint'), { recursive: true });
    for (const [file, text] of Object.entries(files)) writeFileSync(join(content, file), text);
    execFileSync('tar', ['-cf', `${content}.tar`, '-C', content, '.']);
    return fixture.create({ image: { image: `${content}.tar` } });
  };
  await reject(archive('a', {}), 'INVALID_ARGUMENT', /cannot read "config.dump"/);
  await reject(archive('b', { 'config.dump': '[1' }), 'INVALID_ARGUMENT', /config.dump/);
  await reject(
    archive('c', { 'config.dump': '{"rootfsImageName":"gone:1"}' }),
    'NOT_FOUND',
    /gone:1.*pull it/,
  );
  await reject(fixture.create({ image: { image: '/no/such.tar' } }), 'NOT_FOUND', /no such file/);
  assert.deepEqual(halfMade(fixture), []);
  writeFileSync(join(fixture.bin, 'criu'), '#!/bin/sh\necho "vdso: Unexpected bounds" >&2\nexit 1\n');
  await reject(checkpoint(fixture, id, '/tmp/x.tar'), 'FAILED_PRECONDITION', /criu check.*Unexpected bounds/);
  execFileSync('rm', [join(fixture.bin, 'criu')]);
  if (spawnSync('criu', ['--version'], { env: { PATH: process.env.PATH } }).error !== undefined)
    await reject(checkpoint(fixture, id, '/tmp/x.tar'), 'FAILED_PRECONDITION', /apt-get install criu/);
});

const criuWorks = spawnSync('criu', ['check']).status === 0 && existsSync('/usr/sbin/runc');

test('with CRIU, a restored shell still counts', { skip: !criuWorks }, async (t) => {
  const fixture = await openFixture(t, { runtime: 'runc' });
  const id = await fixture.run('i=100; while :; do i=$((i+1)); echo $i; sleep 0.1; done');
  const location = join(fixture.root, 'c.tar');
  await checkpoint(fixture, id, location);
  const restored = await fixture.create({ image: { image: location }, command: ['sleep', '1'] });
  await fixture.start(restored);
  const { logPath } = await fixture.status(restored);
  while (!/ stdout F 1\d\d\n/.test(existsSync(logPath) ? readFileSync(logPath, 'utf8') : ''))
    await new Promise((wake) => setTimeout(wake, 20));
  assert.doesNotMatch(readFileSync(logPath, 'utf8'), / F 101\n/, 'it does not begin anew');
});

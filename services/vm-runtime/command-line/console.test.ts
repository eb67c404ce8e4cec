/** A container's terminal, handed over by a console socket (runc's docs/terminals.md). */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { listenForTerminal } from '#foundation/linux/console-socket.ts';
import { ociStage, patientMs } from '../../../test/vm/oci-stage.ts';

test("a caller gets a container's terminal by its console socket: input, output, sizes, end", async (t) => {
  const stage = ociStage(t);
  const plain = stage.bundle('plain', 'true');
  assert.match(
    stage.vm('create', '--bundle', plain, '--console-socket', '/none', 'plain').err,
    /no terminal/,
  );
  const script = 'test -t 0 && test -t 2 && stty size; read line; echo "got $line"; stty size; exit 6';
  const bundle = stage.bundle('c1', script, (spec) => {
    spec.process.terminal = true;
    spec.process.consoleSize = { height: 33, width: 99 };
    const pts = ['newinstance', 'ptmxmode=0666', 'mode=0620'];
    spec.mounts = [
      ...(spec.mounts ?? []).filter(({ destination }) => !destination.startsWith('/dev')),
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: pts },
    ];
  });
  using socket = await listenForTerminal(join(bundle, 'console.sock'));
  const created = await stage.detached('create', '--bundle', bundle, '--console-socket', socket.path, 'c1');
  assert.equal(created.code, 0, created.err);
  const { stream, resize } = await socket.terminal;
  let said = '';
  const saying = Promise.withResolvers<void>();
  stream.on('data', (chunk: Buffer) => {
    said += chunk.toString();
    if (/33 99\r\n/.test(said)) saying.resolve();
  });
  // A terminal whose other end nobody holds any more says EIO.
  const ended = new Promise<void>((resolve) => stream.once('close', resolve).on('error', () => resolve()));
  const late = setTimeout(() => saying.reject(new Error(`no size came: ${said}`)), patientMs);
  assert.equal(stage.vm('start', 'c1').code, 0);
  await saying.promise;
  clearTimeout(late);
  resize({ width: 120, height: 40 });
  stream.write('hello\n');
  await ended;
  assert.match(said, /got hello\r\n(33 99|40 120)\r\n$/);
  assert.equal(stage.vm('delete', 'c1').code, 0);
});

/** A link between a process and a shim that are both played by the test. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { duplexPair, PassThrough, Writable } from 'node:stream';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GuestProcess } from '../../agent-client/types.ts';
import { type ProcessLink, processLink } from './process-link.ts';

const patientMs = 20_000;

function stage(stdin: Writable = new PassThrough()) {
  const link = processLink({ signal() {}, resize() {}, gone() {} });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const counts = { stdin: 0, stdout: 0, stderr: 0 };
  const confirm = (stream: 'stdout' | 'stderr', count: number) => {
    counts[stream] = count;
  };
  const process = { stdin, stdout, stderr, positions: () => ({ ...counts }), confirm };
  link.bind(process as unknown as GuestProcess);
  return { link, stdout, stderr, counts };
}

/** The shim's end of a connection, and what came by it. */
function connect(link: ProcessLink, kind: 'in' | 'out' | 'err' | 'control') {
  const [ours, theirs] = duplexPair();
  let came = Buffer.alloc(0);
  ours.on('data', (chunk: Buffer) => {
    came = Buffer.concat([came, chunk]);
  });
  link.connect({ kind, container: 'c', process: '-', count: 0 }, theirs as Socket);
  return { socket: ours, came: () => came };
}

async function until(look: () => boolean): Promise<void> {
  for (const end = Date.now() + patientMs; !look(); await sleep(5))
    assert.ok(Date.now() < end, 'it did not come');
}

function countOf(count: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(count));
  return bytes;
}

function frameOf(text: string): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(text.length);
  return Buffer.concat([prefix, Buffer.from(text)]);
}

test('the end waits for all that the process wrote, however long that takes', async () => {
  const { link, stdout } = stage();
  const [control, out] = [connect(link, 'control'), connect(link, 'out')];
  connect(link, 'err');
  stdout.write('0123456789');
  link.finish({ code: 7, signal: 0, written: { stdout: 20, stderr: 0 } });
  await until(() => out.came().length === 14);
  out.socket.write(countOf(10));
  // Far longer than it takes for what a process has left behind.
  await sleep(500);
  assert.equal(control.came().length, 0);
  stdout.write('abcdefghij');
  await until(() => out.came().length === 28);
  await sleep(200);
  assert.equal(control.came().length, 0, 'the shim does not have the second part');
  out.socket.write(countOf(20));
  // Its stream is still open: only what it has left behind could write, and does not.
  await link.done;
  await until(() => control.came().length === 8);
  assert.equal(control.came().readUInt32BE(), 7);
});

test('an output that breaks before all of it came does not hold up the end', async () => {
  const { link, stdout, stderr } = stage();
  const control = connect(link, 'control');
  stderr.end();
  link.finish({ code: 137, signal: 9, written: { stdout: 20, stderr: 0 } });
  stdout.destroy();
  await until(() => control.came().length === 8);
});

test('input that a broken connection left is taken once, from the next one', async () => {
  const taken: string[] = [];
  const goOn: (() => void)[] = [];
  const stdin = new Writable({
    highWaterMark: 1,
    write(chunk: Buffer, _encoding, done) {
      taken.push(chunk.toString());
      goOn.push(done);
    },
  });
  const { link, counts } = stage(stdin);
  const first = connect(link, 'in');
  first.socket.write(Buffer.concat([frameOf('one'), frameOf('two'), frameOf('three')]));
  await until(() => taken.length === 1);
  // The guest has nothing yet: the next connection brings all of it again.
  connect(link, 'in').socket.write(Buffer.concat([frameOf('onetwo'), frameOf('threefour')]));
  while (taken.join('').length < 15) {
    await until(() => goOn.length > 0);
    counts.stdin = taken.join('').length;
    goOn.shift()?.();
    // What must not come would come now.
    await sleep(20);
  }
  assert.equal(taken.join(''), 'onetwothreefour');
  counts.stdin = 15; // Else the relay would go on to look how far the guest is.
});

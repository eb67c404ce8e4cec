/** The host's side against a guest that lies: a fake agent behind a real socket, and 100,000 mutated frames. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  CallSchema,
  EventSchema,
  FilesSchema,
  ProcessStateSchema,
  type Reply,
  ReplySchema,
} from '#contracts/vm/agent_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { connectAgent } from './connect.ts';
import { encodeCredit, encodeFrame, frameReader, frameType } from './frames.ts';
import { openLink } from './link.ts';
import { containerStats, guestStats } from './stats.ts';
import { openOutput } from './streams.ts';
import { type AgentClient, agentProtocolVersion } from './types.ts';

const helloOf = (version: number): Partial<Reply>['result'] => ({
  case: 'hello',
  value: {
    $typeName: 'skiff.vm.agent.v1.HelloReply',
    version,
    bootId: '01234567-89ab-cdef-0123-456789abcdef',
    kernel: 'fake\u001b[31m',
    containers: [],
    processes: [],
  },
});

function reply(id: number, result: Partial<Reply>['result'], errno = 0, message = ''): Buffer {
  return encodeFrame(
    frameType.reply,
    id,
    toBinary(ReplySchema, create(ReplySchema, { errno, message, result })),
  );
}

function log(line: string): Buffer {
  const event = create(EventSchema, { event: { case: 'log', value: line } });
  return encodeFrame(frameType.event, 0, toBinary(EventSchema, event));
}

/** A server that greets as an agent does, then lets `act` do what it likes. */
async function fakeAgent(
  t: TestContext,
  act: (socket: Socket, call: { id: number; kind: string | undefined }) => void,
  greeting = (nonce: Uint8Array) => Buffer.concat([Buffer.from('SKIFFVM1'), nonce]),
  version: number = agentProtocolVersion,
): Promise<string> {
  const directory = mkdtempSync('/tmp/skiff-h');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    readCalls(socket, (id, kind, nonce) => {
      if (nonce === undefined) return act(socket, { id, kind });
      socket.write(greeting(nonce));
      socket.write(reply(id, helloOf(version)));
      act(socket, { id, kind });
    });
  });
  await new Promise<void>((resolve) => server.listen(`${directory}/agent.sock`, resolve));
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return `${directory}/agent.sock`;
}

/** Reads calls as the guest does: zeros, then frames. */
function readCalls(
  socket: Socket,
  each: (id: number, kind: string | undefined, nonce: Uint8Array | undefined) => void,
): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      const start = rest.indexOf(0xa5);
      rest = start < 0 ? Buffer.alloc(0) : rest.subarray(start);
      if (rest.length < 12 || rest.length < 13 + rest.readUInt32BE(8)) return;
      const [type, id, end] = [rest[1], rest.readUInt32BE(4), 13 + rest.readUInt32BE(8)];
      const payload = rest.subarray(12, end - 1);
      rest = rest.subarray(end);
      if (type !== frameType.call) continue;
      const { call } = protoCall(payload);
      each(id, call.case, call.case === 'hello' ? call.value.nonce : undefined);
    }
  });
}

function protoCall(payload: Buffer) {
  return fromBinary(CallSchema, payload);
}

async function connected(socketPath: string): Promise<AgentClient> {
  const agent = await connectAgent({ socketPath, deadlineMs: 5_000 });
  return agent;
}

test('skips what was left for an earlier host, and takes no words that steer a terminal', async (t) => {
  const path = await fakeAgent(
    t,
    (socket, { kind }) => kind === 'hello' && socket.write(log('fine\u001b[2J\nforged line\u202e')),
    (nonce) => Buffer.concat([Buffer.alloc(100_000, 0xa5), Buffer.from('SKIFFVM1'), nonce]),
  );
  const lines: string[] = [];
  await using agent = await connectAgent({ socketPath: path, onLog: (line) => lines.push(line) });
  assert.equal(agent.hello.kernel, 'fake [31m');
  while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(lines, ['fine [2J forged line']);
});

/** What a guest may send, and what must be said of it. */
const lies: [string, Buffer, RegExp][] = [
  ['a reply to nothing', reply(999, undefined), /not asked/],
  ['a frame of the host', encodeFrame(frameType.call, 1), /type 1/],
  ['an unknown type', encodeFrame(99, 1), /type 99/],
  ['a length without end', Buffer.from('a502000000000001ffffffff', 'hex'), /4294967295 bytes/],
  ['bytes without frame', Buffer.alloc(64, 7), /begin no frame/],
  ['an end that is none', encodeFrame(frameType.end, 5).fill(0, 12), /without its end/],
  ['too much data', encodeFrame(frameType.data, 5, Buffer.alloc(40_000)), /40000 bytes/],
  ['a message of garbage', encodeFrame(frameType.event, 0, Buffer.alloc(9, 0xff)), /cannot be read/],
  ['a flood of events', Buffer.concat(Array.from({ length: 30_000 }, () => log('x'))), /more messages/],
  [
    'a flood for streams that are not',
    Buffer.concat(Array.from({ length: 30_000 }, () => encodeFrame(5, 77))),
    /more mess/,
  ],
];

for (const [name, bytes, expected] of lies) {
  test(`ends the connection for ${name}`, async (t) => {
    const path = await fakeAgent(t, (socket, { kind }) => kind === 'ping' && socket.write(bytes));
    const agent = await connected(path);
    const ping = agent.ping({ deadlineMs: 30_000 });
    await assert.rejects(ping, (error) => isSkiffError(error, 'DATA_LOSS'));
    const why: SkiffError = await agent.closed;
    assert.match(why.message, expected);
  });
}

test('lineage 11: a guest that says nothing, hangs up or speaks another version fails in time', async (t) => {
  const silent = await fakeAgent(
    t,
    () => {},
    () => Buffer.alloc(10),
  );
  await assert.rejects(connectAgent({ socketPath: silent, deadlineMs: 100 }), (error) =>
    isSkiffError(error, 'DEADLINE_EXCEEDED'),
  );
  const hangsUp = await fakeAgent(
    t,
    (socket) => socket.destroy(),
    () => Buffer.alloc(0),
  );
  await assert.rejects(connectAgent({ socketPath: hangsUp, deadlineMs: 5_000 }), (error) =>
    isSkiffError(error),
  );
  const old = await fakeAgent(t, () => {}, undefined, agentProtocolVersion - 1);
  await assert.rejects(
    connectAgent({ socketPath: old, deadlineMs: 20_000 }),
    (error) => isSkiffError(error, 'FAILED_PRECONDITION') && /speaks version/.test(error.message),
  );
  await assert.rejects(connectAgent({ socketPath: '/tmp/skiff-none', deadlineMs: 50 }), (error) =>
    isSkiffError(error, 'DEADLINE_EXCEEDED'),
  );
});

test('a guest that floods instead of answering the greeting is not listened to', async (t) => {
  const directory = mkdtempSync('/tmp/skiff-h');
  const flood = Buffer.concat(Array.from({ length: 2000 }, () => log('x')));
  const server = createServer((socket) => {
    socket.on('error', () => {});
    readCalls(socket, (_id, _kind, nonce) => {
      if (nonce !== undefined) socket.write(Buffer.concat([Buffer.from('SKIFFVM1'), nonce, flood]));
    });
  });
  await new Promise<void>((resolve) => server.listen(`${directory}/agent.sock`, resolve));
  t.after(() => {
    server.close();
    rmSync(directory, { recursive: true, force: true });
  });
  await assert.rejects(
    connectAgent({ socketPath: `${directory}/agent.sock`, deadlineMs: 60_000 }),
    /events instead of its answer/,
  );
});

test('figures made to be slow to read are read in no time, and count for nothing', () => {
  // The most that a reply may hold.
  const size = 250_000;
  const texts = ['\n', ' ', '1', 'a: ', 'a:1\n', 'cpu ', '(', ' \n'].map((part) =>
    Buffer.from(part.repeat(size / part.length)),
  );
  const names = ['meminfo', 'uptime', 'stat', 'loadavg', 'net/dev', 'cpu.stat', 'io.stat', 'memory.max'];
  const start = process.cpuUsage();
  for (const content of texts) {
    const files = create(FilesSchema, { files: names.map((name) => ({ name, content })) });
    guestStats(files);
    containerStats(files);
  }
  // What looks at a text again from each of its places takes minutes.
  const { user, system } = process.cpuUsage(start);
  assert.ok(user + system < 20_000_000, `${(user + system) / 1e6} s`);
});

test('data beyond what was allowed, and credit for what was not sent, end the connection', async (t) => {
  const state = create(ProcessStateSchema, { handle: 1, containerId: 'c', pid: 5 });
  for (const lie of [
    Buffer.concat(Array.from({ length: 9 }, () => encodeFrame(frameType.data, 5, Buffer.alloc(32_768)))),
    encodeFrame(frameType.credit, 4, encodeCredit(1_000_000, 2_000_000)),
    encodeFrame(frameType.data, 4, Buffer.alloc(5)),
  ]) {
    const path = await fakeAgent(t, (socket, { id, kind }) => {
      if (kind === 'exec') socket.write(reply(id, { case: 'process', value: state }));
      if (kind === 'ping') socket.write(lie);
    });
    const agent = await connected(path);
    const process = await agent.exec({ containerId: 'c', process: '{}', terminal: false });
    await assert.rejects(agent.ping(), (error) => isSkiffError(error, 'DATA_LOSS'));
    await assert.rejects(process.exited, (error) => isSkiffError(error, 'DATA_LOSS'));
    assert.ok(process.stdout.destroyed && process.stdin.destroyed);
  }
});

/** A generator that gives the same numbers every time (xorshift). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

test('survives 100,000 mutated frames: each is taken, skipped, or ends the connection', () => {
  const chance = numbers(20261121);
  const samples = [
    log('a line'),
    reply(1, helloOf(agentProtocolVersion)),
    reply(2, undefined, 2, 'no such thing'),
    encodeFrame(frameType.data, 5, Buffer.alloc(300, 1)),
    encodeFrame(frameType.end, 5),
    encodeFrame(frameType.reset, 4),
    encodeFrame(frameType.credit, 4, encodeCredit(0, 4096)),
  ];
  let ended = 0;
  let link: ReturnType<typeof fresh> | undefined;
  for (let i = 0; i < 100_000; i++) {
    if (link === undefined || link.isEnded()) {
      if (link !== undefined) ended++;
      link = fresh();
    }
    const frame = Buffer.from(samples[chance(samples.length)] ?? []);
    for (let n = chance(4); n > 0; n--) frame[chance(frame.length)] = chance(256);
    const cut = chance(20) === 0 ? frame.subarray(0, chance(frame.length)) : frame;
    link.feed(cut);
  }
  link?.close();
  assert.ok(ended > 1000 && ended < 100_000, `${ended} connections ended`);
});

/** A link over a socket that is none, greeted, with a call and streams open. */
function fresh() {
  const socket = new Socket();
  socket.write = (() => true) as never;
  const link = openLink(socket, Buffer.alloc(16, 9), () => {});
  void link.call('A call', { case: 'ping', value: {} }, 1 << 30).catch(() => {});
  openOutput(link, 5, 0).stream.resume();
  socket.emit('data', Buffer.concat([Buffer.from('SKIFFVM1'), Buffer.alloc(16, 9)]));
  return {
    isEnded: () => link.ended !== undefined,
    feed: (bytes: Buffer) => socket.emit('data', bytes),
    close: () => link.close(new SkiffError('CANCELLED', 'the test is over')),
  };
}

test('a reader keeps no more than a frame of what it cannot read yet', () => {
  const reader = frameReader(
    Buffer.alloc(16),
    () => {},
    () => assert.fail('no frame came'),
  );
  const block = Buffer.alloc(1 << 20, 1);
  assert.throws(() => {
    for (let i = 0; i < 32; i++) reader.push(block);
  }, /without a greeting/);
});

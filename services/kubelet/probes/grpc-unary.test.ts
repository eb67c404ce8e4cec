/** gRPC calls by hand against servers of Node's HTTP/2, and against bytes: each thing that a server may send. */
import assert from 'node:assert/strict';
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { callUnary, LateError } from './grpc-unary.ts';
import { headerReader, literal } from './hpack.ts';

const { signal } = new AbortController();

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

const callTo = (port: number, more: { timeoutMs?: number; signal?: AbortSignal } = {}) =>
  callUnary(
    {
      host: '127.0.0.1',
      port,
      path: '/a.B/C',
      authority: 'pod:1',
      userAgent: 'me/1',
      message: Buffer.from('hello'),
    },
    { signal, timeoutMs: 20_000, ...more },
  );

const framed = (text: string) => Buffer.concat([Buffer.of(0, 0, 0, 0, text.length), Buffer.from(text)]);

/** Calls a server of Node's. */
async function withServer(
  answer: (stream: ServerHttp2Stream, headers: Record<string, unknown>, body: Buffer) => void,
): Promise<string> {
  const server = createHttp2();
  server.on('stream', async (stream, headers) => {
    const body = Buffer.concat(await stream.toArray());
    answer(stream as ServerHttp2Stream, headers, body);
  });
  const port = await listening(server as unknown as Server);
  try {
    return (await callTo(port)).toString();
  } finally {
    server.close();
  }
}

const ok = (stream: ServerHttp2Stream, message: Buffer, trailers: Record<string, string>) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
  stream.end(message);
};

test('a call as servers want it, and its answer', async () => {
  let seen: Record<string, unknown> = {};
  const answer = await withServer((stream, headers, body) => {
    seen = { ...Object.fromEntries(Object.entries(headers)), body: body.toString('latin1') };
    ok(stream, framed('world'), { 'grpc-status': '0' });
  });
  assert.equal(answer, 'world');
  assert.deepEqual(seen, {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': '/a.B/C',
    ':authority': 'pod:1',
    'content-type': 'application/grpc',
    'user-agent': 'me/1',
    te: 'trailers',
    'grpc-timeout': '20000m',
    body: '\0\0\0\0\x05hello',
  });
});

for (const [what, status, code, message] of [
  ['its status', { 'grpc-status': '12', 'grpc-message': 'no such thing' }, 'UNIMPLEMENTED', /no such thing/],
  ['a code beyond those there are', { 'grpc-status': '14' }, 'UNAVAILABLE', /14/],
] as const)
  test(`a call that fails has ${what}, in trailers or at once`, async () => {
    const isIt = (error: Error & { code?: string }) => error.code === code && message.test(error.message);
    await assert.rejects(
      withServer((stream) => ok(stream, Buffer.alloc(0), status)),
      isIt,
    );
    const atOnce = (stream: ServerHttp2Stream) =>
      stream.respond({ ':status': 200, ...status }, { endStream: true });
    await assert.rejects(withServer(atOnce), isIt);
  });

test('every visible character comes through, also where it is coded', async () => {
  const visible = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index))
    .join('')
    .replace('%', '');
  // Short codes on both sides let the server choose to code it.
  const message = `${'e'.repeat(300)}${visible}${'e'.repeat(300)}`;
  const failing = withServer((stream) =>
    ok(stream, Buffer.alloc(0), { 'grpc-status': '9', 'grpc-message': message }),
  );
  await assert.rejects(failing, (error: Error) => error.message === message);
});

test('an answer that ends without a status is none', async () => {
  await assert.rejects(
    withServer((stream) => ok(stream, framed('x'), { other: '1' })),
    /sent no status of the call/,
  );
});

test('a server of web pages is none of gRPC', async () => {
  const page = (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 404 });
    stream.end('not here');
  };
  await assert.rejects(withServer(page), /unexpected HTTP status code received from server: 404/);
});

/** A frame as text: type, flags, payload. */
const raw = (type: number, flag: number, payload: Buffer | string, stream = 1) => {
  const bytes = Buffer.from(payload as string, 'latin1');
  const head = Buffer.from([0, bytes.length >> 8, bytes.length & 255, type, flag, 0, 0, 0, stream]);
  return Buffer.concat([head, bytes]);
};
const settings = raw(4, 0, '', 0);
const head = Buffer.concat([literal(':status', '200'), literal('content-type', 'application/grpc')]);
const trailers = literal('grpc-status', '0');
const message = raw(0, 0, framed('yes'));
const whole = [settings, raw(1, 4, head), message, raw(1, 5, trailers)];

/** Calls a server that answers these bytes, in pieces of a size. */
async function withBytes(bytes: Buffer | undefined, piece = 1e9, timeoutMs = 20_000) {
  const sockets: Socket[] = [];
  const server = createServer({ noDelay: true }, async (socket) => {
    sockets.push(socket);
    socket.on('error', () => {});
    socket.resume();
    for (let at = 0; bytes !== undefined && at < bytes.length; at += piece) {
      socket.write(bytes.subarray(at, at + piece));
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (bytes?.length === 0) socket.end();
  });
  const port = await listening(server);
  try {
    return (await callTo(port, { timeoutMs })).toString();
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

for (const [what, frames] of [
  ['in one go', whole],
  [
    'with padding and a priority',
    [
      settings,
      raw(1, 0x2c, Buffer.concat([Buffer.of(2), Buffer.alloc(5), head, Buffer.alloc(2)])),
      raw(0, 8, Buffer.concat([Buffer.of(1), framed('yes'), Buffer.of(0)])),
      raw(1, 5, trailers),
    ],
  ],
  [
    'with headers in two frames',
    [
      settings,
      raw(1, 0, head.subarray(0, 9)),
      raw(9, 4, head.subarray(9)),
      message,
      raw(1, 1, trailers.subarray(0, 3)),
      raw(9, 4, trailers.subarray(3)),
    ],
  ],
  [
    'with a message in two frames',
    [
      settings,
      raw(1, 4, head),
      raw(0, 0, framed('yes').subarray(0, 4)),
      raw(0, 0, framed('yes').subarray(4)),
      raw(1, 5, trailers),
    ],
  ],
  [
    'between pings, window updates, unknown frames',
    [settings, raw(6, 0, '12345678', 0), raw(8, 0, '\0\0\0\x01', 0), raw(77, 255, 'x', 0), ...whole.slice(1)],
  ],
  ['before it goes away', [settings, raw(7, 0, '\0\0\0\x01\0\0\0\0', 0), ...whole.slice(1)]],
  [
    'with headers that are to be kept',
    [
      settings,
      raw(1, 4, Buffer.concat([Buffer.of(0x20, 0x88, 0x5f), Buffer.of(16), Buffer.from('application/grpc')])),
      message,
      raw(1, 5, Buffer.concat([Buffer.of(0x40), trailers.subarray(1)])),
    ],
  ],
] as [string, Buffer[]][])
  for (const piece of [1, 7, 1e9])
    test(`an answer ${what}, in pieces of ${piece}`, async () =>
      assert.equal(await withBytes(Buffer.concat(frames), piece), 'yes'));

for (const [what, bytes, wanted] of [
  ['another protocol', 'HTTP/1.1 400 Bad Request\r\n\r\n', /does not speak HTTP\/2/],
  ['a reset', Buffer.concat([settings, raw(3, 0, '\0\0\0\x07')]), /reset with code 7/],
  ['a goodbye', Buffer.concat([settings, raw(7, 0, '\0\0\0\0\0\0\0\x0b', 0)]), /goes away with code 11/],
  ['no message', Buffer.concat([settings, raw(1, 4, head), raw(1, 5, trailers)]), /without a message/],
  ['nothing', '', /ended without an answer/],
  ['a header of no table', Buffer.concat([settings, raw(1, 4, Buffer.of(0xff, 0x7f))]), /in no table/],
  ['half a header', Buffer.concat([settings, raw(1, 4, Buffer.of(0, 5, 65))]), /ends too early/],
  [
    'a header in unreadable code',
    Buffer.concat([settings, raw(1, 4, Buffer.of(0, 0x83, 255, 255, 255, 0))]),
    /unreadable/,
  ],
  ['a number without end', Buffer.concat([settings, raw(1, 4, Buffer.alloc(12, 255))]), /too large a number/],
  [
    'far too much',
    Buffer.concat([settings, ...Array.from({ length: 70 }, () => raw(77, 0, 'x'.repeat(1000)))]),
    /more than 65536 bytes/,
  ],
] as [string, Buffer | string, RegExp][])
  test(`a server that answers ${what} is no server`, async () => {
    await assert.rejects(withBytes(Buffer.from(bytes as string, 'latin1')), wanted);
  });

test('a server that says nothing is late, and a call that is called off ends with the reason', async () => {
  await assert.rejects(
    withBytes(undefined, 1, 50),
    (error) => error instanceof LateError && error.during === 'calling',
  );
  const calling = new AbortController();
  const server = createServer();
  const port = await listening(server);
  const call = callTo(port, { signal: calling.signal });
  calling.abort(new Error('never mind'));
  await assert.rejects(call, /never mind/);
  server.close();
  await assert.rejects(callTo(port), /ECONNREFUSED/);
});

test('long headers are written and read again', () => {
  const value = 'v'.repeat(5000);
  const read = headerReader();
  assert.deepEqual(read(Buffer.concat([literal('x', value), literal('y', '')])), { x: value, y: '' });
});

test('headers that were to be kept are found again, until others took their room', () => {
  const read = headerReader();
  const kept = (name: string, value: string) =>
    Buffer.concat([Buffer.of(0x40), literal(name, value).subarray(1)]);
  assert.deepEqual(read(Buffer.concat([kept('a', '1'), kept('b', '2')])), { a: '1', b: '2' });
  assert.deepEqual(read(Buffer.of(0x80 | 62, 0x80 | 63)), { b: '2', a: '1' });
  // The value is new, the name is the kept one's: 62 is 15 and 47 in four bits.
  assert.deepEqual(read(Buffer.from([0x0f, 47, 1, 0x39])), { b: '9' });
  read(kept('c', 'v'.repeat(4010)));
  assert.deepEqual(read(Buffer.of(0x80 | 63)), { b: '2' }, 'the oldest fell out');
  assert.throws(() => read(Buffer.of(0x80 | 64)), /in no table/);
  read(Buffer.of(0x20));
  assert.throws(() => read(Buffer.of(0x80 | 62)), /in no table/);
});

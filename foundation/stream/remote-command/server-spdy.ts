/** Exec and attach over SPDY: one stream each for error, stdin, stdout, stderr and resize, named by a header. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { createSpdySession } from '#foundation/stream/spdy/session.ts';
import type { SpdyStream } from '#foundation/stream/spdy/stream.ts';
import { acceptSpdy } from '#foundation/stream/spdy/upgrade.ts';
import { hasResize, type RemoteCommandStreams, spdyProtocols } from './protocol.ts';
import { readResizes } from './resize.ts';
import type { DialectSession, RemoteCommandOptions } from './server.ts';

/** Answers the upgrade and waits until the client has opened the streams that were asked for. */
export async function acceptOverSpdy(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteCommandOptions,
): Promise<DialectSession> {
  const protocol = acceptSpdy(request, socket, spdyProtocols);
  const expected = expectedStreams(options.streams, protocol);
  const streams = new Map<string, SpdyStream>();
  const complete = Promise.withResolvers<void>();
  const session = createSpdySession({
    transport: socket,
    head,
    role: 'server',
    idleTimeoutMs: options.idleTimeoutMs,
    onStream: (stream) => {
      const type = stream.headers.streamtype ?? '';
      if (!expected.has(type) || streams.has(type)) {
        stream.destroy();
        return;
      }
      streams.set(type, stream);
      const replied = stream.reply();
      if (streams.size === expected.size) void replied.then(complete.resolve);
    },
  });
  const gone = () =>
    complete.reject(new SkiffError('UNAVAILABLE', 'The client left before its streams came'));
  session.signal.addEventListener('abort', gone, { once: true });
  const ms = options.streamCreationTimeoutMs ?? 30_000;
  const timer = setTimeout(() => {
    const missing = [...expected].filter((each) => !streams.has(each)).join(', ');
    const message = `The client did not open its streams (${missing}) within ${ms} ms`;
    complete.reject(new SkiffError('DEADLINE_EXCEEDED', message));
    session.destroy();
  }, ms);
  try {
    await complete.promise;
  } finally {
    clearTimeout(timer);
    session.signal.removeEventListener('abort', gone);
  }
  return dialectOf(protocol, streams, session);
}

function dialectOf(
  protocol: string,
  streams: Map<string, SpdyStream>,
  session: ReturnType<typeof createSpdySession>,
): DialectSession {
  const error = streams.get('error');
  if (error === undefined) throw new SkiffError('INTERNAL', 'The error stream is missing');
  const stdin = streams.get('stdin');
  const resize = streams.get('resize');
  // Our halves of stdin and resize stay open until the end: kubectl takes their end for the session's.
  for (const name of ['error', 'stdout', 'stderr']) streams.get(name)?.resume();
  return {
    protocol,
    stdin,
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    error,
    resizes: readResizes(resize ?? (async function* none() {})()),
    signal: session.signal,
    close: session.close,
    destroy: session.destroy,
  };
}

function expectedStreams(wanted: RemoteCommandStreams, protocol: string): ReadonlySet<string> {
  const names = ['error'];
  if (wanted.stdin) names.push('stdin');
  if (wanted.stdout) names.push('stdout');
  if (wanted.stderr) names.push('stderr');
  if (wanted.tty && hasResize(protocol)) names.push('resize');
  return new Set(names);
}

/** Serves exec or attach in one dialect by being a SPDY client in another: what the kubelet does for v5. */
import type { IncomingMessage } from 'node:http';
import { type Duplex, PassThrough } from 'node:stream';
import type { TlsClientOptions } from '#foundation/stream/http-upgrade.ts';
import { connectRemoteCommand } from './client.ts';
import { type RemoteCommandStreams, type RemoteResult, resultOf } from './protocol.ts';
import { acceptRemoteCommand, type RemoteCommandSession } from './server.ts';

/** The other server. */
export interface TranslationTarget {
  target: string | URL;
  tls?: TlsClientOptions;
  headers?: Record<string, string>;
}

/**
 * Connects to the target first, so that its refusal can still be answered as an HTTP error, then accepts the
 * client's request and couples both.
 *
 * @throws SkiffError if the target refuses or the client's request is bad.
 */
export async function translateRemoteCommand(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  streams: RemoteCommandStreams,
  { target, tls, headers }: TranslationTarget,
): Promise<void> {
  const between = {
    stdin: streams.stdin ? new PassThrough() : undefined,
    stdout: streams.stdout ? new PassThrough() : undefined,
    stderr: streams.stderr && !streams.tty ? new PassThrough() : undefined,
  };
  const late = Promise.withResolvers<RemoteCommandSession>();
  late.promise.catch(() => {});
  const left = new AbortController();
  const upstream = await connectRemoteCommand(target, {
    transport: 'spdy',
    tls,
    headers,
    tty: streams.tty,
    ...between,
    resizes: (async function* () {
      yield* (await late.promise).resizes;
    })(),
    signal: left.signal,
  });
  try {
    const session = await acceptRemoteCommand(request, socket, head, { streams });
    late.resolve(session);
    session.signal.addEventListener('abort', () => left.abort(), { once: true });
    if (session.stdin && between.stdin) session.stdin.pipe(between.stdin);
    if (session.stdout) between.stdout?.pipe(session.stdout, { end: false });
    if (session.stderr) between.stderr?.pipe(session.stderr, { end: false });
    await session.finish(await resultFrom(upstream, between));
  } catch (error) {
    late.reject(error);
    throw error;
  } finally {
    await upstream.close();
  }
}

async function resultFrom(
  upstream: { protocol: string; status: Promise<string> },
  outputs: { stdout?: PassThrough; stderr?: PassThrough },
): Promise<RemoteResult> {
  try {
    const text = await upstream.status;
    await Promise.all([outputs.stdout, outputs.stderr].map((each) => each && passed(each)));
    return resultOf(text, upstream.protocol);
  } catch (error) {
    return { error };
  }
}

/** Waits until all that was written into a PassThrough has been read from it. */
function passed(stream: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    stream.once('end', resolve);
    stream.once('close', resolve);
    stream.end();
  });
}

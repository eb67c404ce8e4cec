/** Exec and attach over SPDY, as a client. */
import { pipeline } from 'node:stream/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { pump, sendResizes } from '#foundation/stream/pump.ts';
import { createSpdySession } from '#foundation/stream/spdy/session.ts';
import type { SpdyStream } from '#foundation/stream/spdy/stream.ts';
import { connectSpdy } from '#foundation/stream/spdy/upgrade.ts';
import type { DialectClient, RemoteCommandRequest } from './client.ts';
import { hasResize, hasStatus, spdyProtocols } from './protocol.ts';

/** Upgrades, opens the streams in the order that servers expect, and connects them. */
export async function connectOverSpdy(url: URL, request: RemoteCommandRequest): Promise<DialectClient> {
  const { protocols = spdyProtocols, headers, tls, signal } = request;
  const { socket, head, protocol } = await connectSpdy({ url, protocols, headers, tls, signal });
  const session = createSpdySession({ transport: socket, head, role: 'client' });
  try {
    const open = (streamtype: string) => session.open({ streamtype });
    const error = await open('error');
    const stdin = request.stdin && (await open('stdin'));
    const stdout = request.stdout && (await open('stdout'));
    const stderr = request.stderr && !request.tty ? await open('stderr') : undefined;
    const resize = request.tty && hasResize(protocol) ? await open('resize') : undefined;
    for (const output of [error, stdout, stderr]) output?.end();
    stdin?.resume();
    resize?.resume();
    if (request.stdin && stdin) void pipeline(request.stdin, stdin).catch(() => {});
    if (resize) void sendResizes(request.resizes, resize);
    const status = statusAfter(protocol, error, [
      stdout && request.stdout && pump(stdout, request.stdout),
      stderr && request.stderr && pump(stderr, request.stderr),
    ]);
    return {
      protocol,
      status: status.finally(() => session.close()),
      close: session.close,
      destroy: session.destroy,
    };
  } catch (cause) {
    session.destroy();
    throw cause;
  }
}

async function statusAfter(
  protocol: string,
  error: SpdyStream,
  outputs: readonly (Promise<void> | undefined)[],
): Promise<string> {
  try {
    const [chunks] = await Promise.all([error.toArray() as Promise<Buffer[]>, ...outputs]);
    const text = Buffer.concat(chunks).toString();
    if (text === '' && hasStatus(protocol) && error.errored) throw error.errored;
    return text;
  } catch (cause) {
    throw new SkiffError('UNAVAILABLE', 'The connection broke before the command ended', { cause });
  }
}

/** Exec and attach over WebSocket: the channel protocols, all channels in one socket. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createChannelSocket } from '#foundation/stream/websocket/channels.ts';
import { acceptWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import { channel, webSocketProtocols } from './protocol.ts';
import { readResizes } from './resize.ts';
import type { DialectSession, RemoteCommandOptions } from './server.ts';

/** Answers the upgrade. The client's first message is empty: it tells that the session is ready. */
export async function acceptOverWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: RemoteCommandOptions,
): Promise<DialectSession> {
  const webSocket = await acceptWebSocket(request, socket, head, webSocketProtocols);
  const { stdin, stdout, stderr, tty } = options.streams;
  const channels = createChannelSocket(webSocket, { role: 'server', idleTimeoutMs: options.idleTimeoutMs });
  const error = channels.writable(channel.error);
  const out = stdout ? channels.writable(channel.stdout) : undefined;
  const err = stderr ? channels.writable(channel.stderr) : undefined;
  const session: DialectSession = {
    protocol: channels.protocol,
    stdin: stdin ? channels.readable(channel.stdin) : undefined,
    stdout: out,
    stderr: err,
    error,
    resizes: readResizes(tty ? channels.readable(channel.resize) : (async function* none() {})()),
    signal: channels.signal,
    close: () => channels.close(),
    destroy: channels.destroy,
  };
  channels.start();
  (out ?? err ?? error).write(Buffer.alloc(0));
  return session;
}

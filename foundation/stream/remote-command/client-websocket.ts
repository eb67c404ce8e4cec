/** Exec and attach over WebSocket, as a client. */
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { pump, sendResizes } from '#foundation/stream/pump.ts';
import { type ChannelSocket, createChannelSocket } from '#foundation/stream/websocket/channels.ts';
import { connectWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import type { DialectClient, RemoteCommandRequest } from './client.ts';
import { channel, hasStatus } from './protocol.ts';

/** Offered unless told otherwise; servers before Kubernetes 1.29 know only v4. */
const defaultProtocols = ['v5.channel.k8s.io', 'v4.channel.k8s.io'];

/** Connects and couples the channels. */
export async function connectOverWebSocket(url: URL, request: RemoteCommandRequest): Promise<DialectClient> {
  const { headers, tls, signal, protocols = defaultProtocols } = request;
  const offered = protocols.filter((each) => each !== '');
  const socket = await connectWebSocket({ url, protocols: offered, headers, tls, signal });
  const channels = createChannelSocket(socket, { role: 'client' });
  const outputs: Promise<void>[] = [];
  if (request.stdout) outputs.push(pump(channels.readable(channel.stdout), request.stdout));
  if (request.stderr && !request.tty) outputs.push(pump(channels.readable(channel.stderr), request.stderr));
  const error = channels.readable(channel.error).pipe(new PassThrough());
  if (request.stdin) void pipeline(request.stdin, channels.writable(channel.stdin)).catch(() => {});
  if (request.tty) void sendResizes(request.resizes, channels.writable(channel.resize));
  const status = statusOfSocket(channels, error, outputs);
  channels.start();
  return {
    protocol: channels.protocol,
    status: status.finally(() => channels.close()),
    close: () => channels.close(),
    destroy: channels.destroy,
  };
}

async function statusOfSocket(
  channels: ChannelSocket,
  error: PassThrough,
  outputs: readonly Promise<void>[],
): Promise<string> {
  const [chunks] = await Promise.all([error.toArray() as Promise<Buffer[]>, ...outputs]);
  const text = Buffer.concat(chunks).toString();
  const whole = text !== '' || (channels.closeCode === 1000 && !hasStatus(channels.protocol));
  if (whole || channels.closeCode === 1000) return text;
  throw new SkiffError(
    'UNAVAILABLE',
    `The connection broke before the command ended (WebSocket close code ${channels.closeCode})`,
  );
}

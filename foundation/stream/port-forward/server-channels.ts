/** Port-forward over WebSocket channels: for the n-th port, channel 2n carries data and 2n+1 errors. */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { SkiffError } from '#foundation/base/errors.ts';
import { refuseUpgrade } from '#foundation/stream/http-upgrade.ts';
import { couple } from '#foundation/stream/pump.ts';
import { type ChannelSocket, createChannelSocket } from '#foundation/stream/websocket/channels.ts';
import { acceptWebSocket } from '#foundation/stream/websocket/upgrade.ts';
import {
  channelProtocols,
  encodePort,
  forwardFailure,
  type PortForwardOptions,
  parsePort,
} from './protocol.ts';

/** Channel numbers are one byte (one digit in base64 form): 2 for each port. */
const maxPorts = { binary: 127, base64: 5 };

/** Connects each port once and serves until the client leaves. */
export async function serveChannels(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  options: PortForwardOptions,
): Promise<void> {
  const ports = askedPorts(request) ?? options.ports ?? [];
  if (ports.length === 0 || ports.length > maxPorts.binary) {
    const message = `Cannot forward ports over WebSocket: 1 to ${maxPorts.binary} ports must be named, there are ${ports.length}`;
    refuseUpgrade(socket, 400, message);
    throw new SkiffError('INVALID_ARGUMENT', message);
  }
  const protocols = ports.length > maxPorts.base64 ? ['v4.channel.k8s.io', ''] : channelProtocols;
  const webSocket = await acceptWebSocket(request, socket, head, protocols);
  const channels = createChannelSocket(webSocket, { role: 'server', idleTimeoutMs: options.idleTimeoutMs });
  const forwards = ports.map((port, index) => forward(channels, port, index, options));
  channels.start();
  await Promise.all(forwards);
  if (!channels.signal.aborted) await channels.close();
}

/** The `port` parameters of the URL, each a number or a list with commas; undefined if there are none. */
function askedPorts(request: IncomingMessage): number[] | undefined {
  const query = new URL(request.url ?? '/', 'http://localhost').searchParams;
  const named = [...query.getAll('port'), ...query.getAll('ports')].flatMap((each) => each.split(','));
  const ports = named.map(parsePort).filter((each) => each !== undefined);
  return named.length === 0 ? undefined : ports;
}

async function forward(
  channels: ChannelSocket,
  port: number,
  index: number,
  options: PortForwardOptions,
): Promise<void> {
  const halves = { readable: channels.readable(2 * index), writable: channels.writable(2 * index) };
  // Node takes a pair of its own streams as well; the types know only pairs of web streams.
  const data = Duplex.from(halves as unknown as NodeJS.ReadWriteStream);
  const error = channels.writable(2 * index + 1);
  data.write(encodePort(port));
  error.write(encodePort(port));
  try {
    await couple(data, await options.dial(port));
  } catch (cause) {
    data.on('error', () => {}).destroy();
    await new Promise<void>((resolve) => error.end(forwardFailure(port, cause), resolve));
  }
}

/** Port-forward over SPDY: joins data and error streams to pairs and connects each pair. */
import type { Duplex } from 'node:stream';
import { couple } from '#foundation/stream/pump.ts';
import { createSpdySession } from '#foundation/stream/spdy/session.ts';
import type { SpdyStream } from '#foundation/stream/spdy/stream.ts';
import { forwardFailure, type PortForwardOptions, parsePort } from './protocol.ts';

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  timer: NodeJS.Timeout;
}

/** Serves pairs until the session is over. */
export function servePairs(
  connection: { transport: Duplex; head?: Buffer },
  options: PortForwardOptions,
): Promise<void> {
  const pairs = new Map<string, Pair>();
  const session = createSpdySession({
    ...connection,
    role: 'server',
    idleTimeoutMs: options.idleTimeoutMs,
    onStream: (stream) => acceptStream(stream, pairs, options),
  });
  return new Promise((resolve) => {
    const over = () => {
      for (const pair of pairs.values()) clearTimeout(pair.timer);
      resolve();
    };
    if (session.signal.aborted) over();
    else session.signal.addEventListener('abort', over, { once: true });
  });
}

function acceptStream(stream: SpdyStream, pairs: Map<string, Pair>, options: PortForwardOptions): void {
  const type = stream.headers.streamtype;
  const port = parsePort(stream.headers.port);
  if ((type !== 'data' && type !== 'error') || port === undefined) {
    stream.destroy();
    return;
  }
  const id = requestIdOf(stream, type);
  const pair = pairs.get(id) ?? startPair(id, pairs, options);
  if (pair[type] !== undefined) {
    stream.destroy();
    return;
  }
  pair[type] = stream;
  void stream.reply();
  if (pair.data === undefined || pair.error === undefined) return;
  pairs.delete(id);
  clearTimeout(pair.timer);
  void forward(pair.data, pair.error, port, options);
}

/** Clients before Kubernetes 1.1 send no request id: they open the error stream and right after it the data stream. */
function requestIdOf(stream: SpdyStream, type: 'data' | 'error'): string {
  const given = stream.headers.requestid;
  if (given !== undefined && given !== '') return `request ${given}`;
  return `stream ${type === 'error' ? stream.id : stream.id - 2}`;
}

function startPair(id: string, pairs: Map<string, Pair>, options: PortForwardOptions): Pair {
  const late = () => {
    pairs.delete(id);
    pair.data?.destroy();
    pair.error?.end('Cannot forward: the second stream of the pair did not come in time');
  };
  const pair: Pair = { timer: setTimeout(late, options.streamCreationTimeoutMs ?? 30_000) };
  pair.timer.unref();
  pairs.set(id, pair);
  return pair;
}

async function forward(
  data: SpdyStream,
  error: SpdyStream,
  port: number,
  options: PortForwardOptions,
): Promise<void> {
  error.resume();
  try {
    await couple(data, await options.dial(port));
  } catch (cause) {
    if (!error.destroyed) error.write(forwardFailure(port, cause));
    // The text must arrive before the reset that ends the data stream.
    error.end(() => data.destroy());
    return;
  }
  error.end();
}

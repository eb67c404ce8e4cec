/** TCP connections made inside the guest. */
import { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { parseAddress } from '#foundation/base/ip.ts';
import type { Link } from './link.ts';
import { openInput, openOutput } from './streams.ts';
import type { AgentCallOptions } from './types.ts';

/** Connects; the result is one stream both ways, each of which ends by itself. */
export async function connectInGuest(
  link: Link,
  handle: number,
  port: number,
  address = '127.0.0.1',
  options?: AgentCallOptions,
): Promise<Duplex> {
  const what = `Cannot connect to ${address} port ${port} in the guest`;
  const value = { handle, ip: parseAddress(address), port };
  await link.call(what, { case: 'connect', value }, 10_000, options);
  const writable = openInput(link, handle * 4, 0, false).stream;
  const readable = openOutput(link, handle * 4 + 1, 0).stream;
  // Node takes such a pair; its types do not know that.
  const connection = Duplex.from({ readable, writable } as unknown as Iterable<never>);
  connection.on('error', () => {});
  void forget(link, handle, connection);
  return connection;
}

/** The guest keeps a connection until it is told that both ends are done with it. */
async function forget(link: Link, handle: number, connection: Duplex): Promise<void> {
  await finished(connection).catch(() => {});
  if (link.ended === undefined)
    await link
      .call('Cannot end a connection in the guest', { case: 'release', value: { handle } }, 10_000)
      .catch(() => {});
}

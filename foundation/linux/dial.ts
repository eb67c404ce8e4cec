/** TCP connections and listeners whose sockets live in another network namespace. */
import { connect, type Server, type Socket } from 'node:net';
import { wrapError } from '#foundation/base/errors.ts';
import { inNamespaces } from './namespaces.ts';

/**
 * Connects to an address from inside a network namespace.
 *
 * @param netns path of the namespace; this process's own if left out.
 * @throws SkiffError UNAVAILABLE if nobody listens there.
 */
export async function dialFrom(netns: string | undefined, address: string, port: number): Promise<Socket> {
  const start = () =>
    connect({
      port,
      // A name with a lookup that answers at once: only then does Node make the socket before `connect` returns.
      host: 'pod',
      autoSelectFamily: false,
      lookup: (_host, _options, done) => done(null, address, address.includes(':') ? 6 : 4),
    });
  const socket = netns === undefined ? start() : inNamespaces({ net: netns }, start);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return socket;
  } catch (error) {
    socket.destroy();
    throw wrapError(error, `Cannot connect to ${address} port ${port}`);
  }
}

/** Makes a server listen on every address of a network namespace. */
export async function listenIn(netns: string, server: Server, port: number): Promise<void> {
  const listening = new Promise<void>((resolve, reject) => {
    server.once('listening', resolve);
    server.once('error', reject);
  });
  // Without a host there is nothing to look up, and the socket is made before `listen` returns.
  inNamespaces({ net: netns }, () => void server.listen(port));
  await listening;
}

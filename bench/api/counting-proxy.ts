/** A TCP proxy before an API server that counts bytes and connections: the client does not know of it. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** What went through. */
export interface Counts {
  /** Bytes to the server. */
  up: number;
  /** Bytes from it. */
  down: number;
  connections: number;
}

export interface CountingProxy extends Disposable {
  readonly url: string;
  counts(): Counts;
}

/** @param server `https://host:port`. */
export async function startProxy(server: string): Promise<CountingProxy> {
  const { hostname, port } = new URL(server);
  const counts: Counts = { up: 0, down: 0, connections: 0 };
  const open = new Set<Socket>();
  const pass = (from: Socket, to: Socket, count: (bytes: number) => void) => {
    open.add(from);
    from.on('data', (part) => count(part.length));
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      open.delete(from);
      to.destroy();
    });
  };
  const proxy = createServer((client) => {
    counts.connections += 1;
    const upstream = connect(Number(port || '443'), hostname);
    pass(client, upstream, (bytes) => (counts.up += bytes));
    pass(upstream, client, (bytes) => (counts.down += bytes));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    counts: () => ({ ...counts }),
    [Symbol.dispose]: () => {
      proxy.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Finds TCP ports that nobody has. */
import { createServer } from 'node:net';

/** A port of `address` that is free now; whoever binds it first has it. */
export function freePort(address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : 0));
    });
  });
}

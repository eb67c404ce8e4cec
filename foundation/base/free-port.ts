/** Finds TCP ports that nobody has. */
import { createServer } from 'node:net';
import { SkiffError } from './errors.ts';

/**
 * A port of `address` that is free now; whoever binds it first has it.
 *
 * @throws SkiffError INVALID_ARGUMENT if nothing can listen on the address.
 */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  const port = await tryPort(address, 0);
  if (port !== undefined) return port;
  throw new SkiffError('INVALID_ARGUMENT', `Cannot listen on ${address}: is it an address of this machine?`);
}

/**
 * The customary port if it is free, else another: a machine that runs somebody else's kubelet or API already
 * gets a Skiff node beside it.
 */
export async function preferPort(address: string, customary: number): Promise<number> {
  return (await tryPort(address, customary)) ?? freePort(address);
}

/** The port that a listener got; undefined if it is taken. */
function tryPort(address: string, port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, address, () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound !== null ? bound.port : undefined));
    });
  });
}

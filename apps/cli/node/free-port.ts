/** Finds TCP ports that nobody has. */
import { createServer } from 'node:net';

/** A port of `address` that is free now; whoever binds it first has it. */
export async function freePort(address: string): Promise<number> {
  return (await tryPort(address, 0)) ?? 0;
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

/** The socket where plugins that were started by somebody else connect. */
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { answers } from '#foundation/base/answers.ts';
import { errnoOf, SkiffError, wrapError } from '#foundation/base/errors.ts';

/**
 * Listens on a unix socket that only this user may use.
 *
 * @throws SkiffError ALREADY_EXISTS if another runtime listens there.
 */
export async function listenForPlugins(
  path: string,
  onConnection: (socket: Socket) => void,
): Promise<AsyncDisposable> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  try {
    await listenOn(server, path).catch(async (error: unknown) => {
      if (errnoOf(error) !== 'EADDRINUSE') throw error;
      if (await answers(path))
        throw new SkiffError(
          'ALREADY_EXISTS',
          'another runtime listens there; stop it or choose another socket',
        );
      rmSync(path, { force: true }); // Of a killed run.
      await listenOn(server, path);
    });
    chmodSync(path, 0o600);
  } catch (error) {
    throw wrapError(error, `Cannot listen for NRI plugins on "${path}"`);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(path, { force: true });
    },
  };
}

function listenOn(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/**
 * Waits for the terminal of a process that an OCI runtime starts: with `--console-socket` the runtime connects to
 * a unix socket and sends the master, and relays nothing itself (runc's docs/terminals.md, "detached").
 */
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import { type Terminal, terminalOf } from './terminal.ts';
import { receiveDescriptor } from './unix-fds.ts';

/** A socket on which a terminal may come. */
export interface ConsoleSocket extends Disposable {
  readonly path: string;
  /** The terminal; the caller destroys its stream. Never resolves if none comes; rejects if something else does. */
  readonly terminal: Promise<Terminal>;
}

/** Milliseconds that a runtime which connected has to send its terminal. */
const sendingMs = 10_000;

/** Listens at `path`, which must be free. @throws SkiffError UNAVAILABLE if it cannot. */
export async function listenForTerminal(path: string): Promise<ConsoleSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<Terminal>();
  promise.catch(() => {}); // The runtime's own error counts where it fails before.
  // Paused: what Node reads loses the descriptors that come with it.
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    receive(socket).then(resolve, reject);
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', (error) =>
      failed(new SkiffError('UNAVAILABLE', `Cannot listen on ${path}: ${error.message}`)),
    );
    server.listen(path, listening);
  });
  return {
    path,
    terminal: promise,
    [Symbol.dispose]: () => {
      server.close();
      rmSync(path, { force: true });
    },
  };
}

async function receive(socket: Socket): Promise<Terminal> {
  try {
    for (const end = performance.now() + sendingMs; performance.now() < end; await sleep(1)) {
      const fd = receiveDescriptor(socket);
      if (fd !== undefined) return terminalOf(fd);
    }
    throw new SkiffError('DEADLINE_EXCEEDED', 'The runtime connected and sent no terminal');
  } finally {
    socket.destroy();
  }
}

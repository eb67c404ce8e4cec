/**
 * The socket that shims connect to, one connection for each stream and one for control. ../../shim/shim.c says what
 * is spoken.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { SkiffError } from '#foundation/base/errors.ts';
import { listenAt } from './listen-at.ts';

/** What a shim connected for. */
export interface ShimConnection {
  kind: 'in' | 'out' | 'err' | 'control' | 'dial';
  container: string;
  /** Of a command beside the container's own process; "-" for that. For `dial` the port. */
  process: string;
  /** Bytes that it has, or has given. */
  count: number;
}

/** Bytes of the line that a connection begins with. */
const maxLine = 1200;
/** Milliseconds for it. */
const lineMs = 10_000;

/** Serves the socket. @param accept given each connection whose first line is right, paused; it owns the socket. */
export async function serveShims(
  path: string,
  accept: (connection: ShimConnection, socket: Socket) => void,
): Promise<AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    let isDial = false;
    // Only a connection into the pod has two directions that end apart.
    socket.once('end', () => {
      if (!isDial) socket.end();
    });
    socket.on('error', () => {}); // The shim has gone.
    socket.on('close', () => sockets.delete(socket));
    readLine(socket, (line, rest) => {
      const connection = parseLine(line);
      if (connection === undefined) return void socket.destroy();
      if (rest.length > 0) socket.unshift(rest);
      isDial = connection.kind === 'dial';
      accept(connection, socket);
    });
  });
  await listenAt(path, (at) => listen(server, at));
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(new SkiffError('UNAVAILABLE', `Cannot listen on ${path}: ${error.message}`, { cause: error })),
    );
    server.listen(path, resolve);
  });
}

function readLine(socket: Socket, then: (line: string, rest: Buffer) => void): void {
  let text: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), lineMs);
  const take = (chunk: Buffer) => {
    text = Buffer.concat([text, chunk]);
    const end = text.indexOf(10);
    if (end < 0 && text.length < maxLine) return;
    clearTimeout(timer);
    socket.off('data', take);
    socket.pause();
    if (end < 0) return void socket.destroy();
    then(text.toString('latin1', 0, end), text.subarray(end + 1));
  };
  socket.on('data', take);
  socket.once('close', () => clearTimeout(timer));
}

function parseLine(line: string): ShimConnection | undefined {
  const match = /^SKIFFIO1 (in|out|err|control|dial) ([\w+.-]+) ([\w+.-]+) (\d{1,16})$/.exec(line);
  if (match === null) return undefined;
  const [, kind, container = '', process = '', count] = match;
  return { kind: kind as ShimConnection['kind'], container, process, count: Number(count) };
}

/** A proxy before a registry that slows large blobs down and remembers what it was asked for. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** A running proxy. */
export interface SlowRegistry extends AsyncDisposable {
  host: string;
  /** Every GET of a blob: its path, and where it was to begin. */
  blobs: { path: string; from: number }[];
  /** Milliseconds of pause after each piece of 64 KiB. */
  pauseMs: number;
}

const pieceBytes = 65_536;

/** @param behind the registry's `host:port`. */
export async function slowRegistry(behind: string): Promise<SlowRegistry> {
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const headers: Record<string, string> = {};
    for (const name of ['accept', 'range'])
      if (typeof request.headers[name] === 'string') headers[name] = request.headers[name];
    const isBlob = request.method === 'GET' && request.url?.includes('/blobs/') === true;
    if (isBlob)
      self.blobs.push({
        path: request.url ?? '',
        from: Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0),
      });
    const answer = await fetch(`http://${behind}${request.url}`, {
      method: request.method ?? 'GET',
      headers,
    });
    const pass = [
      'content-type',
      'content-length',
      'content-range',
      'docker-content-digest',
      'accept-ranges',
    ];
    const kept = pass.flatMap((name) =>
      answer.headers.has(name) ? [[name, answer.headers.get(name) ?? '']] : [],
    );
    response.writeHead(answer.status, Object.fromEntries(kept));
    const bytes = Buffer.from(await answer.arrayBuffer());
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      response.write(bytes.subarray(at, at + pieceBytes));
      if (isBlob && bytes.length > pieceBytes) await sleep(self.pauseMs);
    }
    response.end();
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const self: SlowRegistry = {
    host: `127.0.0.1:${port}`,
    blobs: [],
    pauseMs: 20,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return self;
}

/** A kubelet that runs nothing and answers everything: logs, exec, attach, port-forward and usage. */
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { acceptPortForward, acceptRemoteCommand } from '#foundation/stream/index.ts';
import { openAuthority } from '../pki/authority.ts';

/** A running fake; `seen` are the paths it was asked for. */
export interface FakeKubelet {
  url: string;
  seen: string[];
  /** Common names of the client certificates. */
  clients: Set<string>;
  stop(): Promise<void>;
}

/** Starts it. exec echoes its standard input after the command, and ends with the exit code of `exit N`. */
export async function startFakeKubelet(directory: string, echoPort: number): Promise<FakeKubelet> {
  const authority = await openAuthority(directory, Date.now);
  const pair = await authority.ensure('kubelet', { commonName: 'kubelet', names: ['127.0.0.1'] });
  const seen: string[] = [];
  const clients = new Set<string>();
  const server: Server = createServer({ ...pair, requestCert: true, rejectUnauthorized: false });
  server.on('request', (request, response) => {
    seen.push(request.url ?? '');
    const socket = request.socket as unknown as { getPeerCertificate(): { subject?: { CN?: string } } };
    clients.add(socket.getPeerCertificate().subject?.CN ?? '');
    if (request.url?.startsWith('/containerLogs/')) response.end('first line\nsecond line\n');
    else if (request.url?.startsWith('/stats/summary')) response.end(JSON.stringify(summary));
    else response.writeHead(404).end('no such path');
  });
  server.on('upgrade', (request, socket, head) => {
    seen.push(request.url ?? '');
    const url = new URL(request.url ?? '', 'https://kubelet');
    if (url.pathname.startsWith('/portForward/')) {
      void acceptPortForward(request, socket, head, { dial: async () => connect(echoPort, '127.0.0.1') });
      return;
    }
    const on = (name: string) => url.searchParams.get(name) === '1';
    const streams = { stdin: on('input'), stdout: on('output'), stderr: on('error'), tty: on('tty') };
    void serve(url.searchParams.getAll('command'), acceptRemoteCommand(request, socket, head, { streams }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}`,
    seen,
    clients,
    stop: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function serve(command: string[], accepting: ReturnType<typeof acceptRemoteCommand>): Promise<void> {
  const session = await accepting;
  session.stdout?.write(`ran ${command.join(' ')}\n`);
  if (session.stdin !== undefined && session.stdout !== undefined)
    await pipeline(session.stdin, session.stdout, { end: false }).catch(() => {});
  await session.finish({ exitCode: command[0] === 'exit' ? Number(command[1]) : 0 });
}

const summary = {
  node: {
    nodeName: 'n1',
    cpu: { usageNanoCores: 250_000_000 },
    memory: { workingSetBytes: 512 * 1024 * 1024 },
  },
  pods: [
    {
      podRef: { name: 'web', namespace: 'default' },
      containers: [
        { name: 'c', cpu: { usageNanoCores: 5_000_000 }, memory: { workingSetBytes: 8 * 1024 * 1024 } },
      ],
    },
  ],
};

/** What pods' probes ask, for each kind of probe: servers outside the pods that see when each probe comes. */
import { execFileSync } from 'node:child_process';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Health, HealthCheckResponse_ServingStatus } from '#contracts/health/health_pb.ts';
import { freePort } from '#foundation/base/free-port.ts';
import { createRpcServer } from '#foundation/grpc/server.ts';
import { median } from '../statistics.ts';

export const probeKinds = ['http', 'tcp', 'grpc', 'exec'] as const;
export type ProbeKind = (typeof probeKinds)[number];

export interface Probed extends AsyncDisposable {
  /** The handler of the probe of one pod. */
  handler(index: number): object;
  /** Forgets what came until now. */
  reset(): void;
  /**
   * How far the probes of a pod came from the nearest beat of `periodMs` that begins with its first one: milliseconds
   * of the median of all probes and of the worst, and the median of the last probes, which a drift would move.
   * Undefined for what nobody outside the pod sees: commands.
   */
  deviations(periodMs: number): Deviations | undefined;
}

export interface Deviations {
  probes: number;
  median: number;
  worst: number;
  drift: number;
}

/** Who answers, and how a probe finds it. */
interface Target {
  handler(index: number): object;
  stop(): Promise<void>;
}

/** @param subnet the addresses of the pods: a grpc probe can ask nobody else. */
export async function startProbed(kind: ProbeKind, pods: number, subnet: string): Promise<Probed> {
  const times = new Map<string, number[]>();
  const see = (pod: string) => times.set(pod, [...(times.get(pod) ?? []), performance.now()]);
  const targets = {
    http: () => httpTarget(see),
    tcp: () => tcpTarget(see, pods),
    grpc: () => grpcTarget(see, subnet),
    exec: async () => ({ handler: () => ({ exec: { command: ['true'] } }), stop: async () => {} }),
  };
  const target = await targets[kind]();
  return {
    handler: target.handler,
    reset: () => times.clear(),
    deviations: (periodMs) => (times.size === 0 ? undefined : deviationsOf([...times.values()], periodMs)),
    [Symbol.asyncDispose]: target.stop,
  };
}

function deviationsOf(times: readonly number[][], periodMs: number): Deviations {
  const offset = (ms: number) => ms - Math.round(ms / periodMs) * periodMs;
  const each = times.map((list) => list.map((time) => Math.abs(offset(time - (list[0] ?? 0)))));
  const all = each.flat();
  return {
    probes: all.length,
    median: median(all),
    worst: Math.max(...all),
    drift: median(each.map((list) => list.at(-1) ?? 0)),
  };
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

async function httpTarget(see: (pod: string) => void): Promise<Target> {
  const server = createHttpServer((request, response) => {
    see(request.url ?? '');
    response.end('ok');
  });
  const port = await listening(server);
  return {
    handler: (index) => ({ httpGet: { host: '127.0.0.1', port, path: `/${index}` } }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A connection says nothing of who makes it: each pod has a port of its own. */
async function tcpTarget(see: (pod: string) => void, pods: number): Promise<Target> {
  const servers = Array.from({ length: pods }, (_, index) =>
    createServer((socket) => {
      see(String(index));
      socket.on('error', () => {});
      socket.resume();
    }),
  );
  const ports = await Promise.all(servers.map(listening));
  return {
    handler: (index) => ({ tcpSocket: { host: '127.0.0.1', port: ports[index] } }),
    async stop() {
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

/** The port that the pods seem to have. */
const podPort = 50_051;

/** A grpc probe names no host: what this machine sends to that port of the pods comes here instead. */
async function grpcTarget(see: (pod: string) => void, subnet: string): Promise<Target> {
  const server = createRpcServer();
  server.add(Health, {
    async check({ service }) {
      see(service);
      return { status: HealthCheckResponse_ServingStatus.SERVING };
    },
  });
  const port = await freePort();
  await server.listen(`127.0.0.1:${port}`);
  const table = `skiff-bench-${process.pid}`;
  const rules = `table ip ${table} {
    chain output {
      type nat hook output priority -100;
      ip daddr ${subnet} tcp dport ${podPort} redirect to :${port}
    }
  }`;
  execFileSync('nft', ['-f', '-'], { input: rules });
  return {
    handler: (index) => ({ grpc: { port: podPort, service: String(index) } }),
    async stop() {
      execFileSync('nft', ['delete', 'table', 'ip', table]);
      await server.close(100);
    },
  };
}

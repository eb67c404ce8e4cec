/** A server that pods name as the host of their http probes: it sees when each probe comes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ProbedServer extends AsyncDisposable {
  readonly port: number;
  /** Forgets what came until now. */
  reset(): void;
  /**
   * How far the probes of a pod came from a beat of `periodMs` that begins with its first one, over all probes:
   * milliseconds of the median and the worst deviation, and the worst drift (of the last probe of each pod).
   */
  deviations(periodMs: number): { probes: number; median: number; worst: number; drift: number };
}

export async function startProbed(): Promise<ProbedServer> {
  const times = new Map<string, number[]>();
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    times.set(path, [...(times.get(path) ?? []), performance.now()]);
    response.end('ok');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    reset: () => times.clear(),
    deviations(periodMs) {
      const each = [...times.values()].map((list) =>
        list.map((time, at) => time - (list[0] ?? 0) - at * periodMs),
      );
      const all = each
        .flat()
        .map(Math.abs)
        .sort((a, b) => a - b);
      const last = each.map((list) => Math.abs(list.at(-1) ?? 0));
      return {
        probes: all.length,
        median: all[Math.floor(all.length / 2)] ?? 0,
        worst: all.at(-1) ?? 0,
        drift: Math.max(...last),
      };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A server that pods name as the host of their http probes: it sees when each probe comes. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { median } from '../statistics.ts';

export interface ProbedServer extends AsyncDisposable {
  readonly port: number;
  /** Forgets what came until now. */
  reset(): void;
  /**
   * How far the probes of a pod came from the nearest beat of `periodMs` that begins with its first one: milliseconds
   * of the median of all probes and of the worst, and the median of the last probes, which a drift would move.
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
      const offset = (ms: number) => ms - Math.round(ms / periodMs) * periodMs;
      const each = [...times.values()].map((list) =>
        list.map((time) => Math.abs(offset(time - (list[0] ?? 0)))),
      );
      const all = each.flat();
      return {
        probes: all.length,
        median: median(all),
        worst: Math.max(...all),
        drift: median(each.map((list) => list.at(-1) ?? 0)),
      };
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

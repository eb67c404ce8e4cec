/** /stats/summary, /metrics/resource and /metrics/cadvisor. */

import { cadvisorMetrics } from '../../stats/cadvisor.ts';
import type { MetricDeps } from '../../stats/exposition.ts';
import { resourceMetrics } from '../../stats/resource-metrics.ts';
import type { Stats } from '../../stats/stats.ts';
import { sendJson } from '../answers.ts';
import { flag } from '../query.ts';
import type { Handler, Route } from '../router.ts';

/** The routes. */
export function statRoutes(stats: Stats, metrics: MetricDeps): Route[] {
  const text = (make: () => Promise<string>): Handler => {
    return async ({ response }) => {
      const body = await make();
      response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
      response.end(body);
    };
  };
  return [
    {
      methods: ['GET', 'POST'],
      path: '/stats/summary',
      handle: async ({ response, url }) => {
        const onlyCpuAndMemory = flag(url.searchParams, 'only_cpu_and_memory');
        sendJson(response, await stats.summary({ onlyCpuAndMemory }));
      },
    },
    { methods: ['GET'], path: '/metrics/resource', handle: text(() => resourceMetrics(stats, metrics)) },
    { methods: ['GET'], path: '/metrics/cadvisor', handle: text(() => cadvisorMetrics(stats, metrics)) },
  ];
}

/** /metrics: the kubelet's own counters; /metrics/probes: those of probes; /metrics/slis: its health. */
import type { Registry } from '#foundation/base/metrics.ts';
import { exposition } from '../../stats/exposition.ts';
import type { Route } from '../router.ts';

/** The routes over one registry: probe counters stand apart, as with the original. */
export function metricRoutes(registry: Registry, health: () => Record<string, boolean>): Route[] {
  const serve = (wanted: (name: string) => boolean): Route['handle'] => {
    return async ({ response }) => {
      const metrics = registry.getMetricsAsArray().filter(({ name }) => wanted(name));
      const texts = await Promise.all(metrics.map(({ name }) => registry.getSingleMetricAsString(name)));
      response.writeHead(200, { 'content-type': registry.contentType });
      response.end(texts.map((text) => `${text}\n`).join(''));
    };
  };
  const isProbe = (name: string) => name.startsWith('prober_');
  return [
    { methods: ['GET'], path: '/metrics', handle: serve((name) => !isProbe(name)) },
    { methods: ['GET'], path: '/metrics/probes', handle: serve(isProbe) },
    {
      methods: ['GET'],
      path: '/metrics/slis',
      handle: async ({ response }) => {
        response.writeHead(200, { 'content-type': registry.contentType });
        response.end(healthText(health()));
      },
    },
  ];
}

/** kubernetes_healthcheck: 1 for each check that is well (KEP-3466). */
function healthText(checks: Record<string, boolean>): string {
  return exposition([
    {
      name: 'kubernetes_healthcheck',
      kind: 'gauge',
      help: 'Whether a check of health passes: 1 if it does',
      samples: Object.entries(checks).map(([name, well]) => [{ name, type: 'healthz' }, Number(well)]),
    },
  ]);
}

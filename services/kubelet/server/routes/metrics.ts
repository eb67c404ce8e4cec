/** /metrics: the kubelet's own counters; /metrics/probes: those of probes. */
import type { Registry } from '#foundation/base/metrics.ts';
import type { Route } from '../router.ts';

/** The routes over one registry: probe counters stand apart, as with the original. */
export function metricRoutes(registry: Registry): Route[] {
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
  ];
}

/** Prometheus metrics through prom-client; each service gets a registry of its own, nothing is global. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry };

/** Makes an empty registry. */
export function createRegistry(): Registry {
  return new Registry();
}

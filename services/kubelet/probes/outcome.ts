/** What probing is about: the container, the request, and how one try ended. */
import type { Pod, Probe } from '#contracts/kubernetes/types.ts';
import type { AnyContainer } from '../ports.ts';

/** How one try ended. */
export interface Outcome {
  /** `warning` counts as success and is worth an event. */
  result: 'success' | 'warning' | 'failure';
  /** What was seen, for the event. */
  output: string;
}

/** Bytes of output that a probe keeps. */
export const maxOutput = 10 * 1024;

/** Runs one probe of a container. */
export type Prober = (target: ProbeTarget, signal: AbortSignal) => Promise<Outcome>;

/** What to probe. */
export interface ProbeTarget {
  pod: Pod;
  container: AnyContainer;
  probe: Probe;
  containerId: string;
  /** The pod's address; empty while unknown. */
  podIp: string;
}

/** An HTTP request to a container. */
export interface HttpTarget {
  scheme: 'http' | 'https';
  host: string;
  port: number;
  path: string;
  headers: { name: string; value: string }[];
}

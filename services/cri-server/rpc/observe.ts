/** Logs each call once, when it has ended, and counts it for Prometheus. */
import { codeRow, SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import { Counter, Histogram, type Registry } from '#foundation/base/metrics.ts';
import type { CallObserver } from '#foundation/grpc/server.ts';

/** Calls that clients make all the time: they are logged at the lowest level. */
const chatter = /^(Version|Status|List|Stream|PodSandboxStatus|ContainerStatus|ImageStatus|ImageFsInfo)/;

/** Makes the observer of all RPCs. */
export function createCallObserver(log: Logger, metrics: Registry): CallObserver {
  const seconds = new Histogram({
    name: 'skiff_cri_call_seconds',
    help: 'Duration of CRI calls by method',
    labelNames: ['method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    registers: [metrics],
  });
  const failures = new Counter({
    name: 'skiff_cri_call_failures_total',
    help: 'CRI calls that failed, by method and gRPC status code',
    labelNames: ['method', 'code'],
    registers: [metrics],
  });
  return ({ method, milliseconds, error }) => {
    seconds.observe({ method }, milliseconds / 1000);
    const ms = Math.round(milliseconds * 10) / 10;
    if (error === undefined) {
      log[chatter.test(method) ? 'trace' : 'debug']({ method, ms }, 'call');
      return;
    }
    const code = error instanceof SkiffError ? error.code : 'INTERNAL';
    failures.inc({ method, code: String(codeRow(code).grpc) });
    const level = code === 'NOT_FOUND' || code === 'UNIMPLEMENTED' ? 'debug' : 'warn';
    // Only what nobody expected comes with its stack.
    const detail = error instanceof SkiffError ? { error: error.message } : { err: error };
    log[level]({ method, ms, code, ...detail }, 'call failed');
  };
}

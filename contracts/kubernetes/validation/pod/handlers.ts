/** Probes and lifecycle hooks. */
import type { Container, Lifecycle, LifecycleHandler, Probe } from '../../types.ts';
import { portNameProblems, portNumberProblems } from '../names.ts';
import { checkNotNegative, checkOneOf, type Problems } from '../problems.ts';

/** Checks a container's probes. */
export function checkProbes(container: Container, path: string, problems: Problems): void {
  for (const field of ['livenessProbe', 'readinessProbe', 'startupProbe'] as const) {
    const probe = container[field];
    if (probe === undefined) continue;
    const place = `${path}.${field}`;
    checkProbe(probe, place, problems);
    if (field !== 'readinessProbe' && probe.successThreshold !== 1)
      problems.invalid(`${place}.successThreshold`, probe.successThreshold, 'must be 1');
    if (field === 'readinessProbe' && probe.terminationGracePeriodSeconds !== undefined)
      problems.invalid(
        `${place}.terminationGracePeriodSeconds`,
        probe.terminationGracePeriodSeconds,
        'must not be set for readinessProbes',
      );
  }
}

function checkProbe(probe: Probe, path: string, problems: Problems): void {
  checkHandler(probe, path, ['exec', 'httpGet', 'tcpSocket', 'grpc'], problems);
  for (const field of [
    'initialDelaySeconds',
    'timeoutSeconds',
    'periodSeconds',
    'successThreshold',
    'failureThreshold',
  ] as const)
    checkNotNegative(problems, `${path}.${field}`, probe[field]);
  const grace = probe.terminationGracePeriodSeconds;
  if (grace !== undefined && grace <= 0)
    problems.invalid(`${path}.terminationGracePeriodSeconds`, grace, 'must be greater than 0');
}

/** Checks a container's hooks. @param grace the pod's grace period in seconds. */
export function checkLifecycle(
  lifecycle: Lifecycle,
  path: string,
  grace: number | undefined,
  problems: Problems,
): void {
  for (const field of ['postStart', 'preStop'] as const) {
    const handler = lifecycle[field];
    if (handler === undefined) continue;
    checkHandler(handler, `${path}.${field}`, ['exec', 'httpGet', 'tcpSocket', 'sleep'], problems);
    const seconds = handler.sleep?.seconds;
    if (seconds !== undefined && (seconds < 0 || seconds > (grace ?? 30)))
      problems.invalid(
        `${path}.${field}.sleep`,
        seconds,
        `must be non-negative and less than terminationGracePeriodSeconds (${grace ?? 30})`,
      );
  }
  if (lifecycle.stopSignal !== undefined && !/^SIG[A-Z0-9+]+$/.test(lifecycle.stopSignal))
    problems.invalid(
      `${path}.stopSignal`,
      lifecycle.stopSignal,
      'must be the name of a signal, such as SIGUSR1',
    );
}

type Handler = LifecycleHandler & Probe;

function checkHandler(
  handler: LifecycleHandler | Probe,
  path: string,
  sorts: readonly (keyof Handler)[],
  problems: Problems,
): void {
  const all = handler as Handler;
  const given = sorts.filter((sort) => all[sort] !== undefined);
  if (given.length === 0) {
    problems.required(path, 'must specify a handler type');
    return;
  }
  for (const extra of given.slice(1))
    problems.forbidden(`${path}.${extra}`, 'may not specify more than 1 handler type');
  if (all.exec !== undefined && (all.exec.command ?? []).length === 0)
    problems.required(`${path}.exec.command`);
  if (all.httpGet !== undefined) checkHttpGet(all.httpGet, `${path}.httpGet`, problems);
  if (all.tcpSocket !== undefined) checkPort(all.tcpSocket.port, `${path}.tcpSocket.port`, problems);
  if (all.grpc !== undefined) checkPort(all.grpc.port, `${path}.grpc.port`, problems);
}

function checkHttpGet(get: NonNullable<Probe['httpGet']>, path: string, problems: Problems): void {
  if (!get.path) problems.required(`${path}.path`);
  checkPort(get.port, `${path}.port`, problems);
  checkOneOf(problems, `${path}.scheme`, get.scheme, ['HTTP', 'HTTPS']);
  for (const [at, header] of (get.httpHeaders ?? []).entries()) {
    if (/^[-A-Za-z0-9]+$/.test(header.name ?? '')) continue;
    problems.invalid(
      `${path}.httpHeaders[${at}].name`,
      header.name ?? '',
      "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')",
    );
  }
}

function checkPort(port: number | string | undefined, path: string, problems: Problems): void {
  if (port === undefined) {
    problems.required(path);
    return;
  }
  problems.invalidAll(
    path,
    port,
    typeof port === 'number' ? portNumberProblems(port) : portNameProblems(port),
  );
}

/** The four ways to probe a container; each answers with a result, or throws when it could not even try. */
import type { CriClient } from '#contracts/cri/client.ts';
import type { Probe } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { longestTimerMs } from '#foundation/base/time.ts';
import { expandWords } from '../container-config/environment.ts';
import type { AnyContainer } from '../ports.ts';
import { probeExec } from './exec.ts';
import { probeGrpc } from './grpc.ts';
import { probeHttp } from './http.ts';
import type { HttpTarget, Prober } from './outcome.ts';
import { probeTcp } from './tcp.ts';

/** Seconds that a probe may take, of which the API takes 68 years: what a timer can wait, less what a call gets beyond. */
const mostSeconds = Math.floor(longestTimerMs / 1000) - 60;

/** Makes the prober of a kubelet. */
export function createProber(cri: Pick<CriClient['runtime'], 'execSync'>): Prober {
  return async (target, signal) => {
    const { probe, container, podIp } = target;
    const timeoutSeconds = Math.min(probe.timeoutSeconds ?? 1, mostSeconds);
    const timeoutMs = timeoutSeconds * 1000;
    if (probe.exec !== undefined) {
      const command = expandWords(probe.exec.command ?? [], literalVariables(container));
      return probeExec(cri, target.containerId, command, timeoutSeconds, signal);
    }
    if (probe.httpGet !== undefined) {
      const port = portNumber(container, probe.httpGet.port);
      return probeHttp(httpTarget(probe.httpGet, port, podIp), timeoutMs, signal);
    }
    if (probe.tcpSocket !== undefined) {
      const port = portNumber(container, probe.tcpSocket.port);
      return probeTcp(probe.tcpSocket.host || podIp, port, timeoutMs, signal);
    }
    if (probe.grpc !== undefined)
      return probeGrpc(podIp, probe.grpc.port, probe.grpc.service ?? '', timeoutMs, signal);
    throw new SkiffError('INVALID_ARGUMENT', 'missing probe handler');
  };
}

/** The request of an httpGet action, of a probe or a hook. */
export function httpTarget(action: NonNullable<Probe['httpGet']>, port: number, podIp: string): HttpTarget {
  return {
    scheme: action.scheme?.toLowerCase() === 'https' ? 'https' : 'http',
    host: action.host || podIp,
    port,
    path: action.path ?? '/',
    headers: action.httpHeaders ?? [],
  };
}

/**
 * A port by number, or by its name among the container's ports.
 *
 * @throws SkiffError INVALID_ARGUMENT for a name that is not there or a number out of range.
 */
export function portNumber(container: AnyContainer, port: number | string | object): number {
  const named = container.ports?.find((each) => each.name !== undefined && each.name === port)?.containerPort;
  const number = named ?? Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new SkiffError('INVALID_ARGUMENT', `couldn't find or use port: ${String(port)}`);
}

/** Commands of probes see the variables with literal values only (the environment is not rebuilt for them). */
function literalVariables(container: AnyContainer): Map<string, string> {
  const literal = (container.env ?? []).filter((variable) => variable.valueFrom === undefined);
  return new Map(literal.map((variable) => [variable.name, variable.value ?? '']));
}

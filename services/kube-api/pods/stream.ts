/** `exec`, `attach` and `portforward`: upgraded connections, passed on to the kubelet. */
import type { Duplex } from 'node:stream';
import { proxyUpgrade } from '#foundation/stream/index.ts';
import { isTrue } from '../http/request.ts';
import { badRequest } from '../http/status.ts';
import type { Call } from '../verbs/deps.ts';
import { containerOf, type Kubelet, runningPod } from './kubelet.ts';

/** The subresources that stream. */
export const streamed = new Set(['exec', 'attach', 'portforward']);

/** A call whose answer is a stream. */
export type UpgradeCall = Pick<Call, 'type' | 'deps'> & { request: Omit<Call['request'], 'response'> };

/** Serves an upgrade. @throws StatusError before anything is answered. */
export async function streamPod(
  call: UpgradeCall,
  kubelet: Kubelet,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { request } = call;
  const { query, target } = request;
  const { pod } = runningPod(call);
  const { namespace, name } = pod.metadata;
  if (pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed')
    throw badRequest(
      `cannot ${target.subresource} ${target.subresource === 'portforward' ? 'to' : 'into'} a container in a completed pod; current phase is ${pod.status.phase}`,
    );
  if (target.subresource === 'portforward') {
    const url = `${kubelet.url}/portForward/${namespace}/${name}${forwardedPorts(query)}`;
    await proxyUpgrade(request.raw, socket, head, { target: url, tls: kubelet.tls, portForward: true });
    return;
  }
  const container = containerOf(pod, query.get('container'));
  const streams = {
    stdin: isTrue(query, 'stdin'),
    stdout: isTrue(query, 'stdout'),
    stderr: isTrue(query, 'stderr'),
    tty: isTrue(query, 'tty'),
  };
  if (!streams.stdin && !streams.stdout && !streams.stderr)
    throw badRequest('you must specify at least 1 of stdin, stdout, stderr');
  if (streams.tty) streams.stderr = false;
  const url = `${kubelet.url}/${target.subresource}/${namespace}/${name}/${container}?${kubeletQuery(query, streams)}`;
  await proxyUpgrade(request.raw, socket, head, { target: url, tls: kubelet.tls, remoteCommand: streams });
}

function kubeletQuery(
  query: URLSearchParams,
  streams: { stdin: boolean; stdout: boolean; stderr: boolean; tty: boolean },
): URLSearchParams {
  const result = new URLSearchParams();
  if (streams.stdin) result.set('input', '1');
  if (streams.stdout) result.set('output', '1');
  if (streams.stderr) result.set('error', '1');
  if (streams.tty) result.set('tty', '1');
  for (const command of query.getAll('command')) result.append('command', command);
  return result;
}

function forwardedPorts(query: URLSearchParams): string {
  const ports = query.getAll('ports').flatMap((each) => each.split(','));
  return ports.length === 0 ? '' : `?${new URLSearchParams(ports.map((port) => ['port', port]))}`;
}

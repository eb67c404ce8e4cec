/** Opens the kubelet's API from a kubeconfig. */
import { openApi } from '#contracts/kubernetes/client/client.ts';
import { type Connection, loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { KubeletApi } from '../ports.ts';
import { createKubeletApi } from './kubelet-api.ts';

/** Calls at once: a burst of pods shall not open a connection for each of their statuses. */
const calls = 8;

/**
 * @param server a kubeconfig's path, or a connection.
 * @throws SkiffError INVALID_ARGUMENT with what is wrong in the file. Nothing is called yet.
 */
export function connectKubeletApi(
  server: string | Connection,
  deps: { nodeName: string; clock: Clock; logger: Logger },
): KubeletApi {
  const connection = typeof server === 'string' ? loadKubeconfig(server) : server;
  return createKubeletApi({ ...deps, client: openApi(connection, { calls }) });
}

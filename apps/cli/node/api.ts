/** The Kubernetes API behind this root's node. */
import { type ApiClient, openApi } from '#contracts/kubernetes/client/client.ts';
import { loadKubeconfig } from '#contracts/kubernetes/client/kubeconfig.ts';
import type { Context } from '../context.ts';
import { notRunning } from './cri.ts';
import { readNodeInfo } from './info.ts';

/**
 * Connects to the API of the node that runs here, as its administrator.
 *
 * @throws SkiffError UNAVAILABLE if no node runs, or it runs without an API.
 */
export function connectApi(context: Context): ApiClient {
  const kubeconfig = readNodeInfo(context.paths)?.kubeconfig;
  if (kubeconfig === undefined) throw notRunning(context);
  return openApi(loadKubeconfig(kubeconfig));
}

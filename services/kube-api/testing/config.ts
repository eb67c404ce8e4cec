/** The configuration of an API in a test: any free port of loopback, a node whose kubelet nobody asks. */
import type { KubeApiConfig } from '../index.ts';

export function testApiConfig(directory: string, nodeName = 'n1'): Omit<KubeApiConfig, 'logger'> {
  return {
    directory,
    address: '127.0.0.1',
    port: 0,
    nodeName,
    kubeletEndpoint: { url: 'https://127.0.0.1:1' },
  };
}

/** Where the API keeps what others read, below its directory. */
import { join } from 'node:path';

/** Files for those who use the API. */
export interface ApiPlaces {
  readonly adminKubeconfigPath: string;
  readonly nodeKubeconfigPath: string;
  /** For those who may see everything but secrets. */
  readonly viewerKubeconfigPath: string;
  /** The authority's certificate: the kubelet's client CA. */
  readonly caPath: string;
}

/** The files of the API whose directory this is. */
export function placesIn(directory: string): ApiPlaces {
  return {
    adminKubeconfigPath: join(directory, 'admin.kubeconfig'),
    nodeKubeconfigPath: join(directory, 'node.kubeconfig'),
    viewerKubeconfigPath: join(directory, 'viewer.kubeconfig'),
    caPath: join(directory, 'pki', 'ca.crt'),
  };
}

/** Where a pod keeps its things below the kubelet's root directory; the original's layout. */
import { join } from 'node:path';

/** The places of one pod. All absolute. */
export interface PodPaths {
  /** `ROOT/pods/UID`. */
  readonly root: string;
  /** `volumes`: one directory per plugin, in it one per volume. */
  readonly volumes: string;
  /** `volume-subpaths/VOLUME/CONTAINER/INDEX`: bind mounts of sub-paths. */
  readonly subpaths: string;
  readonly plugins: string;
  /** `containers/NAME`: termination messages. */
  readonly containers: string;
  /** The pod's /etc/hosts. */
  readonly etcHosts: string;
}

/** The places of the pod `uid` under the kubelet's root directory. */
export function podPaths(kubeletRoot: string, uid: string): PodPaths {
  const root = join(kubeletRoot, 'pods', uid);
  return {
    root,
    volumes: join(root, 'volumes'),
    subpaths: join(root, 'volume-subpaths'),
    plugins: join(root, 'plugins'),
    containers: join(root, 'containers'),
    etcHosts: join(root, 'etc-hosts'),
  };
}

/** The directory of a volume: `volumes/kubernetes.io~PLUGIN/NAME`. */
export function volumeDirectory(paths: PodPaths, plugin: string, name: string): string {
  return join(paths.volumes, `kubernetes.io~${plugin}`, name);
}

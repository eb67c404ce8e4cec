/** What a kind of volume must do; each kind is one file of this folder, `volumes.ts` drives them. */
import type {
  ConfigMap,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  Secret,
  Volume,
} from '#contracts/kubernetes/types.ts';
import type { MountedVolume } from '../ports.ts';
import type { PodPaths } from './pod-paths.ts';

/** One volume of one pod to mount. */
export interface VolumeRequest {
  pod: Pod;
  volume: Volume;
  paths: PodPaths;
  /** Where the volume belongs: `pods/UID/volumes/kubernetes.io~PLUGIN/NAME`. Its parent exists. */
  directory: string;
  /** What stands behind a claim; undefined for volumes of the manifest itself. */
  persistent: PersistentVolume | undefined;
  /** The claim itself; undefined likewise. */
  claim: PersistentVolumeClaim | undefined;
  /** Whether the claim is for reading only. */
  readOnly: boolean;
  signal: AbortSignal;
}

/** A kind of volume. */
export interface VolumePlugin {
  /** As in the directory `kubernetes.io~NAME`. */
  readonly name: string;
  /** Whether `volume` is of this kind. */
  handles(volume: Volume): boolean;
  /** Whether `mount` is to be called at every sync, because the content follows the API or the pod. */
  readonly refreshes?: boolean;
  /**
   * Called at every sync for a volume that is mounted: it may have grown, or its credentials may have to be renewed.
   *
   * @throws why it could not; the volume stays as it is and it is tried again at the next sync.
   */
  update?(request: VolumeRequest): Promise<void>;
  /** Mounts it, or brings its content up to date; calling it again is safe, also after a crash in the middle. */
  mount(request: VolumeRequest): Promise<MountedVolume>;
  /**
   * Unmounts what is in `directory`, from what is on disk alone: the kubelet may have been restarted and the pod
   * forgotten. Left out: unmount whatever is mounted there and delete the rest.
   */
  unmount?(directory: string, paths: PodPaths, signal: AbortSignal): Promise<void>;
}

/** Where volumes find the objects that pods refer to; the core's API client implements it. */
export interface ObjectSource {
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;
}

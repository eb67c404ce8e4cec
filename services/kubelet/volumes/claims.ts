/** persistentVolumeClaim and ephemeral: the API server says which persistent volume stands behind them. */
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { KubeletApi } from '../ports.ts';

/** A volume as the plugins see it. */
export interface ResolvedVolume {
  /** The manifest's own, or one made from the persistent volume's source. */
  volume: Volume & { local?: { path: string; fsType?: string } };
  /** The name of its directory: the volume's, or the persistent volume's. */
  name: string;
  persistent: PersistentVolume | undefined;
  claim: PersistentVolumeClaim | undefined;
  /** `persistentVolumeClaim.readOnly`. */
  readOnly: boolean;
}

/** Finds what stands behind a volume. */
export type VolumeResolver = (pod: Pod, volume: Volume) => Promise<ResolvedVolume>;

/** Makes the resolver; without an API server claims cannot be resolved. */
export function createVolumeResolver(api: Pick<KubeletApi, 'request'> | undefined): VolumeResolver {
  return async (pod, volume) => {
    const claimName = claimOf(pod, volume);
    if (claimName === undefined)
      return { volume, name: volume.name, persistent: undefined, claim: undefined, readOnly: false };
    if (api === undefined)
      throw new SkiffError(
        'FAILED_PRECONDITION',
        `volume "${volume.name}" claims storage, which needs an API server; this kubelet runs without one`,
      );
    const namespace = pod.metadata.namespace ?? 'default';
    const claim = await get<PersistentVolumeClaim>(
      api,
      `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${claimName}`,
    );
    checkClaim(pod, volume, claim, claimName);
    const persistent = await get<PersistentVolume>(
      api,
      `/api/v1/persistentvolumes/${claim.spec?.volumeName}`,
    );
    if (persistent.spec?.claimRef?.uid !== claim.metadata.uid)
      throw new SkiffError('FAILED_PRECONDITION', `PVC ${claimName} binding is not finalized`);
    const { hostPath, nfs, local, csi } = persistent.spec ?? {};
    return {
      volume: { name: volume.name, hostPath, nfs, local, csi: csi && { driver: csi.driver } },
      name: persistent.metadata.name,
      persistent,
      claim,
      readOnly: volume.persistentVolumeClaim?.readOnly === true,
    };
  };
}

/** The claim behind a volume; undefined if there is none. */
export function claimOf(pod: Pod, volume: Volume): string | undefined {
  if (volume.persistentVolumeClaim !== undefined) return volume.persistentVolumeClaim.claimName;
  return volume.ephemeral === undefined ? undefined : `${pod.metadata.name}-${volume.name}`;
}

async function get<T>(api: Pick<KubeletApi, 'request'>, path: string): Promise<T> {
  try {
    return await api.request<T>({ method: 'GET', path, timeoutMs: 30_000 });
  } catch (error) {
    if (!isSkiffError(error, 'NOT_FOUND')) throw error;
    throw new SkiffError('NOT_FOUND', `${path.split('/').slice(-2).join(' ')} not found`);
  }
}

function checkClaim(pod: Pod, volume: Volume, claim: PersistentVolumeClaim, name: string): void {
  const owner = claim.metadata.ownerReferences?.find(({ controller }) => controller === true);
  // Somebody else's claim of the same name must not be taken for this pod's own.
  if (volume.ephemeral !== undefined && owner?.uid !== pod.metadata.uid)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `PVC ${name} was not created for pod ${pod.metadata.name} (pod is not owner)`,
    );
  if (claim.metadata.deletionTimestamp !== undefined)
    throw new SkiffError('FAILED_PRECONDITION', `PVC ${name} is being deleted`);
  if (claim.status?.phase !== 'Bound' || (claim.spec?.volumeName ?? '') === '')
    throw new SkiffError('FAILED_PRECONDITION', `PVC ${name} is not bound`);
}

/** Binds claims to volumes that fit, as the original's controller does for volumes that were made by hand. */
import { compareQuantities, quantity } from '#contracts/kubernetes/quantity.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#contracts/kubernetes/types.ts';
import type { ApiDeps } from '../verbs/deps.ts';
import type { Controller } from './controller.ts';
import { dropFinalizer } from './garbage.ts';
import { changeStored } from './objects.ts';

/** Binds, releases, and lets go what is no longer in use. */
export function volumeBinding(deps: ApiDeps): Controller {
  return {
    name: 'volume-binding',
    watches: ['persistentvolumes', 'persistentvolumeclaims', 'pods'],
    concerns: (resource, { type, current }) => {
      if (resource !== 'pods') return true;
      const { spec, status } = current.object as Pod;
      const over = type === 'DELETED' || status?.phase === 'Succeeded' || status?.phase === 'Failed';
      return over && (spec.volumes ?? []).some((each) => each.persistentVolumeClaim !== undefined);
    },
    pass: async () => {
      for (const claim of claims(deps)) await bindClaim(deps, claim);
      for (const volume of volumes(deps)) await settle(deps, volume);
      for (const claim of claims(deps)) await release(deps, claim);
    },
  };
}

function volumes({ store }: ApiDeps): PersistentVolume[] {
  return store.list('persistentvolumes').map(({ object }) => object as PersistentVolume);
}

function claims({ store }: ApiDeps): PersistentVolumeClaim[] {
  return store.list('persistentvolumeclaims').map(({ object }) => object as PersistentVolumeClaim);
}

async function bindClaim(deps: ApiDeps, claim: PersistentVolumeClaim): Promise<void> {
  if (claim.status?.phase === 'Bound' || claim.metadata.deletionTimestamp !== undefined) return;
  const volume = volumes(deps)
    .filter((each) => fits(each, claim))
    .sort((a, b) =>
      compareQuantities(quantity(a.spec.capacity?.storage ?? '0'), quantity(b.spec.capacity?.storage ?? '0')),
    )[0];
  if (volume === undefined) return;
  const { namespace, name, uid, resourceVersion } = claim.metadata;
  const claimRef = { kind: 'PersistentVolumeClaim', apiVersion: 'v1', namespace, name, uid, resourceVersion };
  await changeStored<PersistentVolume>(deps, 'persistentvolumes', volume, (current) => ({
    ...current,
    spec: { ...current.spec, claimRef },
    status: { ...current.status, phase: 'Bound' },
  }));
  await changeStored<PersistentVolumeClaim>(deps, 'persistentvolumeclaims', claim, (current) => ({
    ...current,
    spec: { ...current.spec, volumeName: volume.metadata.name },
    status: {
      ...current.status,
      phase: 'Bound',
      accessModes: volume.spec.accessModes,
      capacity: volume.spec.capacity,
    },
  }));
}

function fits({ spec, metadata }: PersistentVolume, claim: PersistentVolumeClaim): boolean {
  if (metadata.deletionTimestamp !== undefined) return false;
  const taken = spec.claimRef;
  const reserved =
    taken !== undefined && taken.namespace === claim.metadata.namespace && taken.name === claim.metadata.name;
  if (taken !== undefined && !(reserved && (taken.uid === undefined || taken.uid === claim.metadata.uid)))
    return false;
  if (claim.spec.volumeName !== undefined && claim.spec.volumeName !== metadata.name) return false;
  if ((spec.storageClassName ?? '') !== (claim.spec.storageClassName ?? '')) return false;
  if (spec.volumeMode !== claim.spec.volumeMode) return false;
  const modes = (claim.spec.accessModes ?? []).every((mode) => spec.accessModes?.includes(mode));
  const wanted = quantity(claim.spec.resources?.requests?.storage ?? '0');
  return modes && compareQuantities(quantity(spec.capacity?.storage ?? '0'), wanted) >= 0;
}

/** The phase of a volume that is not bound now; and its end, when nobody uses it. */
async function settle(deps: ApiDeps, volume: PersistentVolume): Promise<void> {
  const { claimRef } = volume.spec;
  const claim =
    claimRef === undefined ? undefined : claims(deps).find((each) => each.metadata.uid === claimRef.uid);
  const phase = claim !== undefined ? 'Bound' : claimRef?.uid === undefined ? 'Available' : 'Released';
  if (volume.status?.phase !== phase) {
    await changeStored<PersistentVolume>(deps, 'persistentvolumes', volume, (current) => ({
      ...current,
      status: { ...current.status, phase },
    }));
  }
  if (volume.metadata.deletionTimestamp !== undefined && claim === undefined)
    await dropFinalizer(
      deps,
      deps.registry.byKind('PersistentVolume'),
      volume,
      'kubernetes.io/pv-protection',
    );
}

async function release(deps: ApiDeps, claim: PersistentVolumeClaim): Promise<void> {
  if (claim.metadata.deletionTimestamp === undefined) return;
  const used = deps.store.list('pods', claim.metadata.namespace).some(({ object }) => {
    const { spec, status } = object as Pod;
    const over = status?.phase === 'Succeeded' || status?.phase === 'Failed';
    return (
      !over && spec.volumes?.some((each) => each.persistentVolumeClaim?.claimName === claim.metadata.name)
    );
  });
  if (!used)
    await dropFinalizer(
      deps,
      deps.registry.byKind('PersistentVolumeClaim'),
      claim,
      'kubernetes.io/pvc-protection',
    );
}

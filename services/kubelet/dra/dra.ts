/**
 * Dynamic resource allocation (KEP-4381): the scheduler allocated devices for a pod's claims; before its sandbox is made
 * the kubelet has their drivers prepare them, gives the containers the CDI names that the drivers answer, and has them
 * undone when the last pod of a claim has ended.
 *
 * ```
 * spec.resourceClaims -> ResourceClaim (allocated, reserved) -> driver.NodePrepareResources -> CDI ids
 *   -> containers that name the claim -> pod ends -> driver.NodeUnprepareResources
 * ```
 */
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { keyedLocks } from '#foundation/base/locks.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { AnyContainer, DynamicResources, KubeletApi } from '../ports.ts';
import { type AllocatedClaim, claimName, readClaims } from './claims.ts';
import type { DraDrivers } from './drivers.ts';
import {
  openPreparedClaims,
  type PreparedClaim,
  type PreparedClaims,
  type PreparedDevice,
} from './prepared.ts';

/** What it needs. */
export interface DraDeps {
  /** Undefined without an API server: then pods with claims cannot run. */
  api: Pick<KubeletApi, 'request'> | undefined;
  drivers: Pick<DraDrivers, 'get'>;
  /** `<kubelet root>/dra_manager_state`. */
  stateFile: string;
  log: Logger;
}

/** Dynamic resources, with what the pod-resources API tells of them. */
export interface Dra extends DynamicResources {
  /** The prepared claims that a container uses, with its devices. */
  usedBy(
    pod: Pod,
    container: AnyContainer,
  ): { claim: PreparedClaim; devices: (PreparedDevice & { driver: string })[] }[];
}

/** Makes it. @throws SkiffError if the state cannot be read. */
export function createDra(deps: DraDeps): Dra {
  const claims = openPreparedClaims(deps.stateFile);
  // Two pods of one claim must not prepare and undo it at the same time: all go through one door.
  const locks = keyedLocks();
  /** Pods whose claims are being undone in the background. */
  const undoing = new Set<string>();
  const unprepare = (podUid: string, signal: AbortSignal) =>
    locks.run('claims', () => unpreparePod(deps, claims, podUid, signal), signal);
  return {
    async prepare(pod, signal) {
      if ((pod.spec.resourceClaims ?? []).length === 0) return;
      await locks.run('claims', () => preparePod(deps, claims, pod, signal), signal);
    },
    unprepare,
    cdiDevices: (pod, container) => [
      ...new Set(
        usedBy(claims, pod, container).flatMap(({ devices }) => devices.flatMap((each) => each.cdiDeviceIds)),
      ),
    ],
    usedBy: (pod, container) => usedBy(claims, pod, container),
    retain(podUids) {
      const gone = new Set(claims.all().flatMap((claim) => claim.podUids.filter((uid) => !podUids.has(uid))));
      for (const uid of gone) {
        if (undoing.has(uid)) continue;
        undoing.add(uid);
        unprepare(uid, AbortSignal.timeout(60_000))
          .catch((error: unknown) =>
            deps.log.warn(
              { podUid: uid, error: messageOf(error) },
              'cannot undo the claims of a pod that is gone',
            ),
          )
          .finally(() => undoing.delete(uid));
      }
    },
  };
}

async function preparePod(
  deps: DraDeps,
  claims: PreparedClaims,
  pod: Pod,
  signal: AbortSignal,
): Promise<void> {
  if (deps.api === undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      'resource claims need an API server; this kubelet runs without one',
    );
  const podUid = pod.metadata.uid ?? '';
  const wanted = await readClaims(deps.api, pod);
  // A driver that is not there keeps the pod from starting before anything of it is written down.
  for (const { drivers } of wanted) for (const driver of drivers) deps.drivers.get(driver);
  for (const claim of wanted) {
    const known = claims.get(claim.namespace, claim.name);
    if (known !== undefined && known.uid !== claim.uid)
      throw new SkiffError(
        'UNAVAILABLE',
        `old ResourceClaim with same name ${claim.name} and different UID ${known.uid} still exists`,
      );
    const podUids = [...new Set([...(known?.podUids ?? []), podUid])];
    if (known?.prepared === true) {
      if (!known.podUids.includes(podUid)) claims.set({ ...known, podUids });
      continue;
    }
    const { namespace, name, uid } = claim;
    const begun: PreparedClaim = { namespace, name, uid, podUids, prepared: false, drivers: {} };
    for (const driver of claim.drivers) begun.drivers[driver] = [];
    claims.set(begun);
    claims.set({ ...begun, prepared: true, drivers: await askDrivers(deps, claim, signal) });
  }
}

/** @throws SkiffError with what the driver said. */
async function askDrivers(
  deps: DraDeps,
  claim: AllocatedClaim,
  signal: AbortSignal,
): Promise<PreparedClaim['drivers']> {
  const drivers: PreparedClaim['drivers'] = {};
  for (const driver of claim.drivers) {
    const { namespace, name, uid } = claim;
    const answer = await deps.drivers.get(driver).prepare([{ namespace, name, uid }], signal);
    const own = answer.claims[uid];
    if (own === undefined)
      throw new SkiffError('UNAVAILABLE', `NodePrepareResources of ${driver} skipped ResourceClaim ${name}`);
    if (own.error !== '')
      throw new SkiffError(
        'UNAVAILABLE',
        `NodePrepareResources failed for ResourceClaim ${name}: ${own.error}`,
      );
    drivers[driver] = own.devices.map(({ poolName, deviceName, requestNames, cdiDeviceIds }) => ({
      poolName,
      deviceName,
      requestNames,
      cdiDeviceIds,
    }));
  }
  return drivers;
}

async function unpreparePod(
  deps: DraDeps,
  claims: PreparedClaims,
  podUid: string,
  signal: AbortSignal,
): Promise<void> {
  for (const claim of claims.all()) {
    if (!claim.podUids.includes(podUid)) continue;
    if (claim.podUids.length > 1) {
      claims.set({ ...claim, podUids: claim.podUids.filter((uid) => uid !== podUid) });
      continue;
    }
    const { namespace, name, uid } = claim;
    for (const driver of Object.keys(claim.drivers)) {
      const answer = await deps.drivers.get(driver).unprepare([{ namespace, name, uid }], signal);
      const own = answer.claims[uid];
      if (own === undefined)
        throw new SkiffError(
          'UNAVAILABLE',
          `NodeUnprepareResources of ${driver} skipped ResourceClaim ${name}`,
        );
      if (own.error !== '')
        throw new SkiffError(
          'UNAVAILABLE',
          `NodeUnprepareResources failed for ResourceClaim ${name}: ${own.error}`,
        );
    }
    claims.remove(claim);
  }
}

function usedBy(claims: PreparedClaims, pod: Pod, container: AnyContainer): ReturnType<Dra['usedBy']> {
  const used: ReturnType<Dra['usedBy']> = [];
  for (const { name, request } of container.resources?.claims ?? []) {
    const entry = pod.spec.resourceClaims?.find((each) => each.name === name);
    const real = entry === undefined ? undefined : claimName(pod, entry);
    const claim = real === undefined ? undefined : claims.get(pod.metadata.namespace ?? 'default', real);
    if (claim === undefined) continue;
    const fits = ({ requestNames }: PreparedDevice) =>
      request === undefined || request === '' || requestNames.length === 0 || requestNames.includes(request);
    const devices = Object.entries(claim.drivers).flatMap(([driver, list]) =>
      list.filter(fits).map((device) => ({ ...device, driver })),
    );
    used.push({ claim, devices });
  }
  return used;
}

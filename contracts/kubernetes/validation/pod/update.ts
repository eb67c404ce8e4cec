/** What may change in a pod after it was made: ValidatePodUpdate and its subresources' rules. */
import { isDeepStrictEqual } from 'node:util';
import type { Pod, PodSpec, Toleration } from '../../types.ts';
import type { Problems } from '../problems.ts';
import { checkPod } from './pod.ts';

const mutable =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)';

/** Checks an update of a pod through its main resource. */
export function checkPodUpdate(now: Pod, before: Pod, problems: Problems): void {
  checkPod(now, problems);
  checkSameContainers(now.spec, before.spec, problems);
  checkDeadline(now.spec.activeDeadlineSeconds, before.spec.activeDeadlineSeconds, problems);
  checkTolerations(now.spec.tolerations ?? [], before.spec.tolerations ?? [], problems);
  checkGates(now.spec, before.spec, problems);
  if (!isDeepStrictEqual(comparable(now.spec, before.spec), plain(before.spec)))
    problems.forbidden('spec', `${mutable}${differences(now.spec, before.spec)}`);
}

function plain(spec: PodSpec): unknown {
  return JSON.parse(JSON.stringify(spec));
}

/** The new spec with everything that may change put back to what it was. */
function comparable(now: PodSpec, before: PodSpec): unknown {
  const copy = plain(now) as PodSpec;
  for (const field of ['containers', 'initContainers'] as const)
    for (const [at, container] of (copy[field] ?? []).entries()) {
      const old = before[field]?.[at];
      if (old?.image === undefined) delete container.image;
      else container.image = old.image;
    }
  const put = <K extends keyof PodSpec>(field: K) => {
    if (before[field] === undefined) delete copy[field];
    else copy[field] = before[field];
  };
  put('activeDeadlineSeconds');
  put('tolerations');
  if ((before.terminationGracePeriodSeconds ?? 0) < 0 && copy.terminationGracePeriodSeconds === 1)
    put('terminationGracePeriodSeconds');
  if ((before.schedulingGates ?? []).length > 0) {
    put('schedulingGates');
    put('nodeSelector');
    put('affinity');
  }
  return JSON.parse(JSON.stringify(copy));
}

function differences(now: PodSpec, before: PodSpec): string {
  const fields = new Set([...Object.keys(now), ...Object.keys(before)]) as Set<keyof PodSpec>;
  const changed = [...fields].filter((field) => !isDeepStrictEqual(now[field], before[field]));
  return changed.length === 0 ? '' : `; changed: ${changed.map((field) => `spec.${field}`).join(', ')}`;
}

function checkSameContainers(now: PodSpec, before: PodSpec, problems: Problems): void {
  for (const field of ['containers', 'initContainers'] as const) {
    const count = (now[field] ?? []).length;
    if (count !== (before[field] ?? []).length)
      problems.forbidden(`spec.${field}`, 'pod updates may not add or remove containers');
  }
}

function checkDeadline(now: number | undefined, before: number | undefined, problems: Problems): void {
  const path = 'spec.activeDeadlineSeconds';
  if (before === undefined || now === before) return;
  if (now === undefined)
    problems.invalid(path, now ?? null, 'must not update from a positive integer to nil value');
  else if (now > before) problems.invalid(path, now, 'must be less than or equal to previous value');
}

function checkTolerations(
  now: readonly Toleration[],
  before: readonly Toleration[],
  problems: Problems,
): void {
  const same = (a: Toleration, b: Toleration) =>
    isDeepStrictEqual({ ...a, tolerationSeconds: 0 }, { ...b, tolerationSeconds: 0 });
  if (!before.every((old) => now.some((each) => same(each, old))))
    problems.forbidden(
      'spec.tolerations',
      'existing toleration can not be modified except its tolerationSeconds',
    );
}

function checkGates(now: PodSpec, before: PodSpec, problems: Problems): void {
  const old = new Set(before.schedulingGates?.map((gate) => gate.name));
  const added = (now.schedulingGates ?? []).filter((gate) => !old.has(gate.name));
  if (added.length > 0)
    problems.forbidden(
      'spec.schedulingGates',
      `only deletion is allowed, but found new scheduling gates ${added.map((gate) => gate.name).join(', ')}`,
    );
}

/** Checks an update through `ephemeralcontainers`: containers may be added, never changed or removed. */
export function checkEphemeralUpdate(now: Pod, before: Pod, problems: Problems): void {
  checkPod(now, problems);
  const list = now.spec.ephemeralContainers ?? [];
  for (const old of before.spec.ephemeralContainers ?? []) {
    const at = list.findIndex((each) => each.name === old.name);
    if (at < 0)
      problems.forbidden(
        'spec.ephemeralContainers',
        `existing ephemeral containers ${JSON.stringify(old.name)} may not be removed`,
      );
    else if (!isDeepStrictEqual(list[at], old))
      problems.forbidden(
        'spec.ephemeralContainers',
        `existing ephemeral containers ${JSON.stringify(old.name)} may not be changed`,
      );
  }
}

/** Checks an update through `resize`: only CPU and memory of containers may change. */
export function checkResize(now: Pod, before: Pod, problems: Problems): void {
  checkPod(now, problems);
  const strip = (spec: PodSpec) => {
    const copy = plain(spec) as PodSpec;
    for (const container of [...copy.containers, ...(copy.initContainers ?? [])]) {
      delete container.resources;
      delete container.resizePolicy;
    }
    delete copy.resources;
    return copy;
  };
  if (!isDeepStrictEqual(strip(now.spec), strip(before.spec)))
    problems.forbidden('spec', 'only cpu and memory resources are mutable');
  for (const field of ['containers', 'initContainers'] as const)
    for (const [at, container] of (now.spec[field] ?? []).entries())
      checkResizedContainer(container, before.spec[field]?.[at], `spec.${field}[${at}].resources`, problems);
}

type Sized = PodSpec['containers'][number];

function checkResizedContainer(
  now: Sized,
  before: Sized | undefined,
  path: string,
  problems: Problems,
): void {
  for (const side of ['limits', 'requests'] as const) {
    const [a, b] = [now.resources?.[side] ?? {}, before?.resources?.[side] ?? {}];
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (a[name] === b[name]) continue;
      if (name !== 'cpu' && name !== 'memory')
        problems.forbidden(path, 'only cpu and memory resources are mutable');
      else if (a[name] === undefined) problems.forbidden(path, `resource ${side} cannot be removed`);
    }
  }
}

/** Pods: admission, graceful deletion, and the parts that the kubelet and people update. */
import { defaultPod, defaultPodSpec } from '#contracts/kubernetes/defaults/pod.ts';
import { requireKind } from '#contracts/kubernetes/kinds.ts';
import type {
  Pod,
  PriorityClass,
  RuntimeClass,
  ServiceAccount,
  Toleration,
} from '#contracts/kubernetes/types.ts';
import { checkEphemeralUpdate, checkResize } from '#contracts/kubernetes/validation/pod/update.ts';
import { createProblems } from '#contracts/kubernetes/validation/problems.ts';
import { forbidden } from '../http/status.ts';
import { qosClass } from '../pods/qos.ts';
import { mountToken } from '../pods/token-volume.ts';
import type { Strategy, Surroundings } from './strategy.ts';

const kind = requireKind('v1', 'Pod');
/** The annotation of a mirror pod: the kubelet's copy of a pod from a file. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';
/** Seconds that pods stay on a node that is not ready or gone. */
const tolerationSeconds = 300;

const systemPriorities: Record<string, number> = {
  'system-node-critical': 2_000_001_000,
  'system-cluster-critical': 2_000_000_000,
};

/** What is special about pods. */
export const podStrategy: Strategy = {
  generation: true,
  returnsDeleted: true,
  selectable: [
    'spec.nodeName',
    'spec.restartPolicy',
    'spec.schedulerName',
    'spec.serviceAccountName',
    'spec.hostNetwork',
    'status.phase',
    'status.podIP',
    'status.podIPs',
    'status.nominatedNodeName',
  ],
  prepareCreate: admitPod,
  prepareUpdate: (now: Pod) => defaultPod(now),
  gracePeriod: podGrace,
  parts: {
    status: { merge: mergeStatus },
    ephemeralcontainers: {
      merge: mergeEphemeral,
      fromOld: fromEphemeralContainers,
      validate: problemsOf(checkEphemeralUpdate),
    },
    resize: { merge: mergeResize, validate: problemsOf(checkResize) },
  },
};

function problemsOf(check: typeof checkResize) {
  return (now: Pod, before: Pod) => {
    const problems = createProblems();
    check(now, before, problems);
    return problems.list;
  };
}

function admitPod(pod: Pod, around: Surroundings): void {
  if (pod.spec === undefined) return;
  pod.status = { phase: 'Pending', qosClass: qosClass(pod) };
  const mirror = pod.metadata.annotations?.[mirrorAnnotation] !== undefined;
  admitPriority(pod, around);
  admitRuntimeClass(pod, around);
  if (mirror) return;
  admitServiceAccount(pod, around);
  tolerateNodeTrouble(pod);
}

function admitPriority(pod: Pod, { store }: Surroundings): void {
  const name = pod.spec.priorityClassName;
  const classes = store.list('priorityclasses.scheduling.k8s.io').map((each) => each.object as PriorityClass);
  const byDefault =
    name === undefined || name === '' ? classes.find((each) => each.globalDefault === true) : undefined;
  if (byDefault !== undefined) pod.spec.priorityClassName = byDefault.metadata.name;
  const found = byDefault ?? classes.find((each) => each.metadata.name === name);
  const value =
    name === undefined || name === '' ? (byDefault?.value ?? 0) : (found?.value ?? systemPriorities[name]);
  if (value === undefined)
    throw forbidden(kind, pod.metadata.name, `no PriorityClass with name ${name} was found`);
  if (pod.spec.priority !== undefined && pod.spec.priority !== value && pod.spec.priority !== 0)
    throw forbidden(
      kind,
      pod.metadata.name,
      `the integer value of priority (${pod.spec.priority}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`,
    );
  pod.spec.priority = value;
  pod.spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
}

function admitRuntimeClass(pod: Pod, { store }: Surroundings): void {
  const name = pod.spec.runtimeClassName;
  if (name === undefined || name === '') return;
  const found = store.get('runtimeclasses.node.k8s.io', { name })?.object as RuntimeClass | undefined;
  if (found === undefined)
    throw forbidden(kind, pod.metadata.name, `pod rejected: RuntimeClass "${name}" not found`);
  if (found.overhead?.podFixed !== undefined) pod.spec.overhead = { ...found.overhead.podFixed };
  if (found.scheduling?.nodeSelector !== undefined)
    pod.spec.nodeSelector = { ...pod.spec.nodeSelector, ...found.scheduling.nodeSelector };
  pod.spec.tolerations = [...(pod.spec.tolerations ?? []), ...(found.scheduling?.tolerations ?? [])];
  if (pod.spec.tolerations.length === 0) delete pod.spec.tolerations;
}

function admitServiceAccount(pod: Pod, { store }: Surroundings): void {
  pod.spec.serviceAccountName ||= 'default';
  pod.spec.serviceAccount = pod.spec.serviceAccountName;
  const { namespace } = pod.metadata;
  const name = pod.spec.serviceAccountName;
  const account = store.get('serviceaccounts', { namespace, name })?.object as ServiceAccount | undefined;
  if (account === undefined)
    throw forbidden(
      kind,
      pod.metadata.name,
      `error looking up service account ${namespace}/${name}: serviceaccount "${name}" not found`,
    );
  if (pod.spec.imagePullSecrets === undefined && (account.imagePullSecrets ?? []).length > 0)
    pod.spec.imagePullSecrets = structuredClone(account.imagePullSecrets);
  // The API listens on loopback, where no pod's network reaches it: a token is mounted only where it is asked for.
  const wanted = pod.spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? false;
  if (wanted) mountToken(pod);
}

function tolerateNodeTrouble(pod: Pod): void {
  const tolerations = pod.spec.tolerations ?? [];
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    const has = (each: Toleration) =>
      (each.key === key || !each.key) && (each.effect === 'NoExecute' || !each.effect);
    if (!tolerations.some(has))
      tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds });
  }
  pod.spec.tolerations = tolerations;
}

/** A pod that nothing runs of needs no grace. */
function podGrace({ spec, status }: Pod, asked: number | undefined): number {
  if (!spec.nodeName || status?.phase === 'Succeeded' || status?.phase === 'Failed') return 0;
  const grace = asked ?? spec.terminationGracePeriodSeconds ?? 30;
  return grace < 0 ? 1 : grace;
}

function mergeStatus(now: Pod, before: Pod): Pod {
  const kept = { ownerReferences: before.metadata.ownerReferences, finalizers: before.metadata.finalizers };
  const status = { ...now.status, qosClass: before.status?.qosClass ?? now.status?.qosClass };
  return { ...before, metadata: withoutUndefined({ ...now.metadata, ...kept }), status };
}

function withoutUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as T;
}

function mergeEphemeral(now: Pod, before: Pod): Pod {
  const merged = structuredClone(before);
  merged.spec.ephemeralContainers = now.spec.ephemeralContainers;
  defaultPodSpec(merged.spec);
  return merged;
}

/** Before 1.22 there was a kind for this, with the new containers only as a client of today's server sees it. */
function fromEphemeralContainers(body: Readonly<Record<string, unknown>>, before: Pod): Pod | undefined {
  if (body.kind !== 'EphemeralContainers' || !Array.isArray(body.ephemeralContainers)) return undefined;
  const has = before.spec.ephemeralContainers ?? [];
  const names = new Set(has.map((each) => each.name));
  const added = (body.ephemeralContainers as typeof has).filter((each) => !names.has(each?.name));
  return { ...before, spec: { ...before.spec, ephemeralContainers: [...has, ...added] } };
}

function mergeResize(now: Pod, before: Pod): Pod {
  const merged = structuredClone(before);
  merged.spec = now.spec;
  defaultPodSpec(merged.spec);
  return merged;
}

/** Parts for tests of the core: they do the least that makes a pod run, and record what they were asked. */
import { create } from '@bufbuild/protobuf';
import { ContainerConfigSchema, NamespaceMode, PodSandboxConfigSchema } from '#contracts/cri/runtime_pb.ts';
import { systemClock } from '#foundation/base/time.ts';
import type { CoreServices, Parts } from '../core-deps.ts';
import type {
  AdmitResult,
  ContainerConfigBuilder,
  ProbeKind,
  ProbeManager,
  ProbeResult,
  ProbeUpdate,
} from '../ports.ts';

/** Parts whose answers a test may change. */
export interface FakeParts extends Parts {
  /** What was asked, in order: `mount UID`, `cgroup UID`, `postStart NAME`... */
  calls: string[];
  /** The pods that the cgroups of the QoS classes were last reckoned from. */
  active: readonly string[];
  /** Results of probes by container id; settable. */
  setProbe(update: ProbeUpdate): void;
  /** What admission answers; admits unless told. */
  verdict: AdmitResult;
  /** Whether the postStart hook fails. */
  failPostStart: boolean;
  /** Milliseconds a preStop hook takes. */
  preStopMs: number;
}

export function fakeParts(_: CoreServices): FakeParts {
  const calls: string[] = [];
  const cgroups = new Set<string>();
  const probes = fakeProbes();
  const parts: FakeParts = {
    calls,
    active: [],
    verdict: { admit: true },
    failPostStart: false,
    preStopMs: 0,
    setProbe: probes.set,
    probes: probes.manager,
    builder: fakeBuilder(),
    volumes: {
      start: async () => {},
      stop: async () => {},
      reconcile: () => {},
      waitForMounts: async (pod) => {
        calls.push(`mount ${pod.metadata.name}`);
        return new Map();
      },
      unmountAll: async (uid) => void calls.push(`unmount ${uid}`),
      hasMounts: async () => false,
      held: async () => new Set(),
      volumesInUse: () => [],
      mountsOf: () => new Map(),
    },
    hooks: {
      async postStart({ container }) {
        calls.push(`postStart ${container.name}`);
        if (parts.failPostStart) throw new Error('the hook failed');
      },
      async preStop({ container }, signal) {
        calls.push(`preStop ${container.name}`);
        await systemClock.sleep(parts.preStopMs, signal);
      },
    },
    resources: {
      start: async () => {},
      createPodCgroup: async (pod) => void cgroups.add(pod.metadata.uid ?? ''),
      podCgroupExists: (pod) => cgroups.has(pod.metadata.uid ?? ''),
      updatePodCgroup: async (pod, how) => void calls.push(`${how} ${pod.metadata.uid}`),
      stop: () => {},
      removePodCgroup: async (uid) => void cgroups.delete(uid),
      podCgroups: async () => [...cgroups],
      updateQos: async (pods) => {
        parts.active = pods.map((pod) => pod.metadata.name ?? '').sort();
      },
      memoryUsage: () => undefined,
    },
    admission: {
      admit: async () => parts.verdict,
      fits: () => parts.verdict,
      retain: () => {},
    },
    dynamicResources: {
      prepare: async () => {},
      unprepare: async () => {},
      cdiDevices: () => [],
      retain: () => {},
    },
    linuxResources: () => ({}),
  };
  return parts;
}

function fakeProbes() {
  const results = new Map<string, ProbeResult>();
  const listeners = new Set<(update: ProbeUpdate) => void>();
  const workers = new Map<string, Set<string>>();
  const manager: ProbeManager = {
    add(pod) {
      const names = new Set<string>();
      for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
        if (container.startupProbe) names.add(`startup ${container.name}`);
        if (container.livenessProbe) names.add(`liveness ${container.name}`);
        if (container.readinessProbe) names.add(`readiness ${container.name}`);
      }
      workers.set(pod.metadata.uid ?? '', names);
    },
    remove: (uid) => void workers.delete(uid),
    stopLivenessAndStartup: () => {},
    retain: () => {},
    result: (kind: ProbeKind, id) => results.get(`${kind} ${id}`),
    hasWorker: (kind, uid, name) => workers.get(uid)?.has(`${kind} ${name}`) === true,
    triggerReadiness: () => {},
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const set = (update: ProbeUpdate) => {
    results.set(`${update.kind} ${update.containerId}`, update.result);
    for (const listener of listeners) listener(update);
  };
  return { manager, set };
}

function fakeBuilder(): ContainerConfigBuilder {
  return {
    async sandboxConfig(pod, context) {
      const config = create(PodSandboxConfigSchema, {
        metadata: {
          name: pod.metadata.name,
          namespace: pod.metadata.namespace ?? 'default',
          uid: pod.metadata.uid ?? '',
          attempt: context.attempt,
        },
        hostname: pod.metadata.name,
        logDirectory: context.logDirectory,
        labels: context.labels,
        annotations: context.annotations,
        linux: {
          securityContext: {
            namespaceOptions: { network: pod.spec.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD },
          },
        },
      });
      return { config, runtimeHandler: '' };
    },
    async containerConfig(_pod, container, context) {
      return create(ContainerConfigSchema, {
        metadata: { name: container.name, attempt: context.attempt },
        image: { image: context.imageRef, userSpecifiedImage: container.image },
        command: container.command,
        args: container.args,
        envs: (container.env ?? []).map(({ name, value = '' }) => ({ key: name, value: Buffer.from(value) })),
        labels: context.labels,
        annotations: context.annotations,
        logPath: context.logPath,
        linux: {
          resources: {},
          securityContext: {
            namespaceOptions: { pid: NamespaceMode.CONTAINER, network: NamespaceMode.POD },
          },
        },
      });
    },
    release: async () => {},
  };
}

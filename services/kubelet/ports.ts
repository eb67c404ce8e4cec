/**
 * What the parts of the kubelet need of one another. The core (config, sync loop, pod workers, runtime manager,
 * PLEG, status, images, events, API client) stands on one side; volumes, probes, hooks, container configuration,
 * resources, eviction, collection, node facts and the HTTP server on the other. Each part implements its own
 * side and is given the others' when `kubelet.ts` wires them; none imports another's folder.
 */
import type { Registry } from 'prom-client';
import type { ContainerConfig, Image, PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type {
  ConfigMap,
  Container,
  EphemeralContainer,
  Node,
  Pod,
  PodCondition,
  PodStatus,
  Secret,
  Service,
} from '#contracts/kubernetes/types.ts';

/** Any container of a pod: regular, init or ephemeral. */
export type AnyContainer = Container | EphemeralContainer;

// ---------------------------------------------------------------------------------------- volumes

/** A volume of a pod that is ready on this machine. */
export interface MountedVolume {
  /** Host path of the volume's root. For image volumes empty: the runtime mounts those. */
  hostPath: string;
  /** True where the volume itself is read-only (configMap, secret, `readOnly` sources). */
  readOnly: boolean;
  /** Whether SELinux relabelling is asked for (`selinux_relabel`). */
  selinuxRelabel?: boolean;
  /** Set for `volumeMode: Block`: a device node rather than a directory. */
  block?: boolean;
}

/** Volumes by the name they have in `spec.volumes`. */
export type Mounts = ReadonlyMap<string, MountedVolume>;

/** Keeps volumes mounted for the pods that want them, and unmounted for all others. */
export interface VolumeManager {
  /** Starts the background loop; cleans up what a crash left. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /**
   * The pods that may have volumes now: what is on disk of others is unmounted in the background. Until the first
   * call nothing is unmounted.
   */
  reconcile(pods: readonly Pod[]): void;
  /**
   * Waits until all volumes of `pod` are mounted, and refreshes the content of configMap, secret, downwardAPI
   * and projected volumes. The pod need not have been reconciled before.
   *
   * @throws SkiffError whose message names the volumes that are missing and why; the core reports FailedMount.
   */
  waitForMounts(pod: Pod, signal: AbortSignal): Promise<Mounts>;
  /** Unmounts all volumes of a pod; success if there are none. @throws SkiffError naming what is still mounted. */
  unmountAll(podUid: string, signal: AbortSignal): Promise<void>;
  /** Whether anything of the pod is mounted or left under `pods/UID/volumes` (also after a crash). */
  hasMounts(podUid: string): Promise<boolean>;
  /** Those of the pods of which it is so, by one look at the table of mounts. */
  held(podUids: readonly string[]): Promise<ReadonlySet<string>>;
  /** Unique names of attachable volumes in use, for `node.status.volumesInUse`. */
  volumesInUse(): string[];
  /** What is mounted for a pod now. */
  mountsOf(podUid: string): Mounts;
}

// ------------------------------------------------------------------------------ container configuration

/** What the core knows when a sandbox is made. */
export interface SandboxContext {
  /** 0 for the pod's first sandbox. */
  attempt: number;
  /** Labels and annotations that the core reads back; the builder may add, never change them. */
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Absolute: `/var/log/pods/NS_NAME_UID`; it exists. */
  logDirectory: string;
}

/** What the core knows when a container is made. */
export interface ContainerContext {
  kind: 'init' | 'regular' | 'ephemeral';
  /** The restart count. */
  attempt: number;
  sandboxId: string;
  sandboxConfig: PodSandboxConfig;
  /** What `ContainerConfig.image.image` must be: the reference the runtime gave for the pulled image. */
  imageRef: string;
  /** The image as the runtime describes it (user, size); undefined if it would not say. */
  image: Image | undefined;
  /** The pod's addresses, the primary first; those of the node for host-network pods. */
  podIps: string[];
  mounts: Mounts;
  /** Pulled image volumes: volume name to the reference the runtime gave, or why the pull failed. */
  imageVolumes: ReadonlyMap<string, { imageRef: string } | { reason: string; message: string }>;
  /** For an ephemeral container with targetContainerName: the CRI id of its target. */
  targetContainerId?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** Relative to the sandbox's log directory: `NAME/0.log`; its directory exists. */
  logPath: string;
}

/** Turns pods and containers into the CRI's configurations. */
export interface ContainerConfigBuilder {
  /** @returns the config and the RuntimeClass's handler (empty for the default). @throws: FailedCreatePodSandBox. */
  sandboxConfig(
    pod: Pod,
    context: SandboxContext,
  ): Promise<{ config: PodSandboxConfig; runtimeHandler: string }>;
  /**
   * Builds the config and whatever it needs on disk (etc-hosts, termination log, subPath binds). Called again
   * for every start of a container.
   *
   * @throws whatever is wrong (missing configMap key, runAsNonRoot, ...): the core reports
   *   CreateContainerConfigError with the message and tries again at the next sync.
   */
  containerConfig(pod: Pod, container: AnyContainer, context: ContainerContext): Promise<ContainerConfig>;
  /** Releases what `containerConfig` made for a container that could not be created, or has ended. */
  release(podUid: string, containerName: string): Promise<void>;
}

// -------------------------------------------------------------------------------------- probes, hooks

export type ProbeKind = 'startup' | 'liveness' | 'readiness';
export type ProbeResult = 'success' | 'failure' | 'unknown';

/** A probe's settled result changed (after thresholds), or was set for a new container. */
export interface ProbeUpdate {
  kind: ProbeKind;
  podUid: string;
  container: string;
  containerId: string;
  result: ProbeResult;
}

/** Runs probes. Results are kept by CRI container id, and dropped with the container's worker. */
export interface ProbeManager {
  /** Starts workers for regular containers and sidecars that have probes; known ones are kept. */
  add(pod: Pod): void;
  /** Ends all workers of a pod. */
  remove(podUid: string): void;
  /** Ends liveness and startup probing while the pod terminates; readiness goes on. */
  stopLivenessAndStartup(podUid: string): void;
  /** Ends the workers of all pods that are not in the set. */
  retain(podUids: ReadonlySet<string>): void;
  /** The result kept for a container; undefined if it was never probed. */
  result(kind: ProbeKind, containerId: string): ProbeResult | undefined;
  /** Whether the container has a worker of this kind, ended or not. */
  hasWorker(kind: ProbeKind, podUid: string, container: string): boolean;
  /** Probes readiness at once, because the status was just seen not ready. */
  triggerReadiness(podUid: string, container: string): void;
  /** Calls back on every change. @returns how to stop. */
  subscribe(listener: (update: ProbeUpdate) => void): () => void;
}

/** The pod states that probes look at; the core's status manager implements it. */
export interface PodStatusReader {
  /** The newest status the kubelet has for a pod, as it would be shown to the API. */
  status(podUid: string): PodStatus | undefined;
}

/** Runs lifecycle hooks. */
export interface HookRunner {
  /** @throws SkiffError saying why the hook failed; the core kills the container (PostStartHookError). */
  postStart(target: HookTarget, signal: AbortSignal): Promise<void>;
  /** Same for preStop; `signal` ends with the grace period. The core goes on to stop the container. */
  preStop(target: HookTarget, signal: AbortSignal): Promise<void>;
}

/** The container a hook is for. */
export interface HookTarget {
  pod: Pod;
  container: AnyContainer;
  containerId: string;
  podIps: string[];
}

// --------------------------------------------------------------------------------- resources, admission

/** Pod-level cgroups and QoS. */
export interface PodResources {
  /** Makes the kubepods hierarchy. @throws SkiffError when this machine cannot do it, saying what to change. */
  start(): Promise<void>;
  /** Removes the kubepods hierarchy if no pod is left in it: a kubelet without pods leaves nothing behind. */
  stop(): void;
  /** Makes the pod's cgroup with its limits; success if it is there. */
  createPodCgroup(pod: Pod): Promise<void>;
  podCgroupExists(pod: Pod): boolean;
  /**
   * Sets the limits to those of `pod`'s spec: resize. `grow` raises what is to be raised and lowers nothing, since its
   * containers may still use it.
   */
  updatePodCgroup(pod: Pod, how: 'grow' | 'exact'): Promise<void>;
  /** Kills what is left in it and removes it; success if there is none. */
  removePodCgroup(podUid: string): Promise<void>;
  /** UIDs of all pod cgroups on this machine; `quick` looks at every hierarchy of version 1 only now and then. */
  podCgroups(how?: 'quick'): Promise<string[]>;
  /** Sets the weights of the QoS levels from the active pods. */
  updateQos(activePods: readonly Pod[]): Promise<void>;
  /** Bytes the pod uses now; undefined if not known. For memory limits that shrink. */
  memoryUsage(podUid: string): number | undefined;
}

/** Whether a pod may run here. */
export type AdmitResult = { admit: true } | { admit: false; reason: string; message: string };

/** The ordered handlers of admission, from eviction pressure to node shutdown. */
export interface Admission {
  /** @param others the other active pods. Allocates devices, CPUs and memory of an admitted pod. */
  admit(pod: Pod, others: readonly Pod[]): Promise<AdmitResult>;
  /** Whether the pod with its resized resources would still fit; for resize. */
  fits(pod: Pod, others: readonly Pod[]): AdmitResult & { infeasible?: boolean };
  /** Gives back what admission allocated to pods that are not in the set. */
  retain(podUids: ReadonlySet<string>): void;
}

/** Which pressure conditions hold. */
export interface Pressure {
  memory: boolean;
  disk: boolean;
  pid: boolean;
}

/** Evicts pods when the machine runs short. */
export interface EvictionManager {
  start(pods: ActivePods, control: PodControl): void;
  stop(): Promise<void>;
  pressure(): Pressure;
}

/** The pods that are not terminal, as eviction, QoS and admission see them; the core implements it. */
export interface ActivePods {
  activePods(): Pod[];
}

/** Ends pods from inside the kubelet; the core implements it. */
export interface PodControl {
  /**
   * Ends a pod: Failed with `reason` and `message`; waits until its containers are gone, at most
   * max(10 s, 1.5 x grace).
   */
  killPod(pod: Pod, how: KillHow): Promise<void>;
}

export interface KillHow {
  reason: string;
  message: string;
  /** Seconds; the spec's if left out; 0 is raised to 1. */
  gracePeriodSeconds?: number;
  /** A condition to add: DisruptionTarget. */
  condition?: Pick<PodCondition, 'type' | 'status' | 'reason' | 'message'>;
  /** Whether the pod counts as evicted. */
  evicted?: boolean;
}

/** Devices that were allocated to pods by claims (dynamic resource allocation). */
export interface DynamicResources {
  /** Has the drivers make a pod's devices ready; success if it has none or they are. @throws SkiffError. */
  prepare(pod: Pod, signal: AbortSignal): Promise<void>;
  /** Has the drivers undo what only this pod used; success if there is nothing. @throws SkiffError. */
  unprepare(podUid: string, signal: AbortSignal): Promise<void>;
  /** CDI names of the devices a container uses. */
  cdiDevices(pod: Pod, container: AnyContainer): string[];
  /** Undoes, in the background, what pods had that are not in the set. */
  retain(podUids: ReadonlySet<string>): void;
}

// --------------------------------------------------------------------------------------------- node

/** Facts about this machine that the core needs. */
export interface NodeInfo {
  readonly name: string;
  /** IP addresses of the node, the primary first. */
  ips(): string[];
  /** The Node object as it is now (status filled in), without what only the API knows. */
  node(): Promise<Node>;
}

/** What the core tells node facts and the HTTP server about its health. */
export interface RuntimeHealth {
  /** Errors that make the node NotReady; empty when all is well. */
  runtimeErrors(): string[];
  /** Errors of the runtime's network; empty when all is well. */
  networkErrors(): string[];
  /** Milliseconds since the sync loop last went round. */
  syncLoopAge(): number;
  /** `name://version` of the runtime; undefined before the first answer. */
  runtimeVersion(): string | undefined;
  /** Handlers and features as the CRI's Status answered. */
  runtimeFeatures(): RuntimeFeatureView;
}

export interface RuntimeFeatureView {
  handlers: { name: string; recursiveReadOnlyMounts: boolean; userNamespaces: boolean }[];
  supplementalGroupsPolicy: boolean;
}

/** What the HTTP server, statistics and collection see of pods; the core implements it. */
export interface KubeletView {
  /** All pods the kubelet should run or is ending, with their newest status. */
  pods(): Pod[];
  /** Pods as the runtime has them, of which some may be unknown to the kubelet. */
  runningPods(): Pod[];
  find(namespace: string, name: string, uid?: string): Pod | undefined;
  /**
   * The CRI id of a pod's container, its newest or the one before.
   *
   * @throws SkiffError NOT_FOUND saying what is missing (pod, container, previous instance).
   */
  containerId(
    pod: Pod,
    container: string,
    options?: { previous?: boolean },
  ): Promise<{ id: string; logPath: string; running: boolean }>;
  /** The CRI id of the pod's newest sandbox. @throws SkiffError NOT_FOUND. */
  sandboxId(pod: Pod): Promise<string>;
  /** Whether the pod's containers may be removed: deleted, evicted, or finished for good. */
  mayRemoveContent(podUid: string): boolean;
  /** Whether nothing of the pod is known or its worker has finished: its sandboxes may be removed. */
  mayRemoveRuntime(podUid: string): boolean;
  /** Whether all configured sources were seen; before, nothing may be collected. */
  sourcesReady(): boolean;
  /** CRI image references used by existing containers and desired pods. */
  imagesInUse(): Set<string>;
  readonly health: RuntimeHealth;
  readonly metrics: Registry;
}

/** Records events with the original's reasons. Never throws and never waits. */
export interface EventRecorder {
  pod(
    pod: Pod,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    options?: { container?: string },
  ): void;
  node(type: 'Normal' | 'Warning', reason: string, message: string): void;
}

/** One REST call. */
export interface RestRequest {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** `/api/v1/namespaces/default/pods/x` with its query. */
  path: string;
  body?: unknown;
  /** `application/json` unless told; patches name their kind (`application/strategic-merge-patch+json`). */
  contentType?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
  /** The answer's model, where it may come as protobuf: shorter, with the fields that Skiff knows. */
  model?: string;
}

/** The API server as the kubelet's client. Every call throws a SkiffError with the HTTP status's code. */
export interface KubeletApi {
  /** Any call that has no name of its own here (TokenReview, SubjectAccessReview, PV, PVC, CSINode, CSR). */
  request<T>(request: RestRequest): Promise<T>;

  /** Calls back with the full set of this node's pods, on every change, until `signal` aborts. */
  watchPods(listener: (pods: Pod[]) => void, signal: AbortSignal): void;
  getPod(namespace: string, name: string): Promise<Pod | undefined>;
  createPod(pod: Pod): Promise<Pod>;
  /** Success if it is gone, or has another UID. */
  deletePod(
    namespace: string,
    name: string,
    options: { uid: string; gracePeriodSeconds: number },
  ): Promise<void>;
  /** Strategic merge patch of `/status`, with `metadata.uid`. */
  patchPodStatus(pod: Pod, status: PodStatus): Promise<Pod>;

  /** Keeps the configMaps and secrets that a pod names watched, until `unregisterPod`. */
  registerPod(pod: Pod): void;
  unregisterPod(pod: Pod): void;
  /** Cached for registered pods; undefined when there is none. */
  configMap(namespace: string, name: string): Promise<ConfigMap | undefined>;
  secret(namespace: string, name: string): Promise<Secret | undefined>;

  /** All services, for environment variables; empty until the first list. */
  services(): readonly Service[];
  /** Whether `services` was filled once. */
  servicesReady(): boolean;
  /** The Node object as the API has it; undefined until it is registered. */
  node(): Node | undefined;

  /** A service account token bound to the pod (TokenRequest). */
  createToken(
    namespace: string,
    serviceAccount: string,
    request: { audiences?: string[]; expirationSeconds?: number; pod: Pod },
  ): Promise<{ token: string; expirationTimestamp: string }>;

  start(): void;
  stop(): Promise<void>;
}

/** A CRI runtime in memory for tests: it records calls, keeps states, and fails or hangs when told. */
import { create } from '@bufbuild/protobuf';
import {
  ContainerSchema,
  ContainerState,
  ContainerStatusSchema,
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  NamespaceMode,
  PodSandboxSchema,
  PodSandboxState,
  PodSandboxStatusSchema,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { RuntimeCalls } from '../runtime-manager/runtime-calls.ts';

interface FakeContainer {
  id: string;
  name: string;
  uid: string;
  state: ContainerState;
}

export interface FakeRuntime {
  calls: RuntimeCalls;
  /** Names of the calls, in order. */
  log: string[];
  /** Adds or changes a container of a pod. */
  set(uid: string, name: string, state: ContainerState): void;
  remove(uid: string): void;
  /** Makes calls of that name fail; undefined ends it. */
  fail(name: string | undefined): void;
  /** Sends an event about a pod to whoever listens. */
  tell(uid: string): void;
  /** Whether the runtime has an event stream. */
  evented: boolean;
}

export function fakeRuntime(): FakeRuntime {
  const containers = new Map<string, FakeContainer>();
  const log: string[] = [];
  const listeners = new Set<(uid: string) => void>();
  let failing: string | undefined;
  const noted = (name: string) => {
    log.push(name);
    if (failing === name) throw new SkiffError('UNAVAILABLE', `${name} fails`);
  };
  const fake: FakeRuntime = {
    log,
    evented: false,
    calls: undefined as unknown as RuntimeCalls,
    set: (uid, name, state) =>
      void containers.set(`${uid}-${name}`, { id: `${uid}-${name}`, name, uid, state }),
    remove(uid) {
      for (const [id, each] of containers) if (each.uid === uid) containers.delete(id);
    },
    fail: (name) => {
      failing = name;
    },
    tell: (uid) => {
      for (const listener of listeners) listener(uid);
    },
  };
  const calls = {
    ...queries(containers, noted),
    async *getContainerEvents(_: object, { signal }: { signal: AbortSignal }) {
      noted('getContainerEvents');
      if (!fake.evented) throw new SkiffError('UNIMPLEMENTED', 'no events');
      const queue: string[] = [];
      let wake = Promise.withResolvers<void>();
      const listener = (uid: string) => {
        queue.push(uid);
        wake.resolve();
      };
      listeners.add(listener);
      signal.addEventListener('abort', () => wake.resolve(), { once: true });
      while (!signal.aborted) {
        for (const uid of queue.splice(0)) yield { podSandboxStatus: { metadata: { uid } } };
        await wake.promise;
        wake = Promise.withResolvers();
      }
      listeners.delete(listener);
    },
  };
  fake.calls = calls as unknown as RuntimeCalls;
  return fake;
}

type Noted = (name: string) => void;

/** The calls that only look. */
function queries(containers: ReadonlyMap<string, FakeContainer>, noted: Noted) {
  const labels = ({ uid, name }: FakeContainer) => ({
    'io.kubernetes.pod.uid': uid,
    'io.kubernetes.container.name': name,
  });
  const uidIn = (request: object) => {
    const { filter } = request as { filter?: { labelSelector?: Record<string, string> } };
    return filter?.labelSelector?.['io.kubernetes.pod.uid'];
  };
  const selected = (request: object) => {
    const uid = uidIn(request);
    return [...containers.values()].filter((each) => uid === undefined || each.uid === uid);
  };
  return {
    async listPodSandbox(request: object) {
      noted('listPodSandbox');
      const uids = new Set(selected(request).map(({ uid }) => uid));
      const items = [...uids].map((uid) =>
        create(PodSandboxSchema, {
          id: `s-${uid}`,
          metadata: { uid, name: uid, namespace: 'ns' },
          state: PodSandboxState.SANDBOX_READY,
        }),
      );
      return create(ListPodSandboxResponseSchema, { items });
    },
    async listContainers(request: object) {
      noted('listContainers');
      const list = selected(request).map((each) =>
        create(ContainerSchema, {
          id: each.id,
          podSandboxId: `s-${each.uid}`,
          metadata: { name: each.name },
          state: each.state,
          labels: labels(each),
        }),
      );
      return create(ListContainersResponseSchema, { containers: list });
    },
    async podSandboxStatus({ podSandboxId }: { podSandboxId: string }) {
      noted('podSandboxStatus');
      const uid = podSandboxId.slice(2);
      const linux = { namespaces: { options: { network: NamespaceMode.POD } } };
      const status = create(PodSandboxStatusSchema, {
        id: podSandboxId,
        metadata: { uid, name: uid },
        state: PodSandboxState.SANDBOX_READY,
        network: { ip: '10.0.0.1' },
        linux,
      });
      return { status };
    },
    async containerStatus({ containerId }: { containerId: string }) {
      noted('containerStatus');
      const found = containers.get(containerId);
      if (found === undefined) throw new SkiffError('NOT_FOUND', 'no such container');
      const status = create(ContainerStatusSchema, {
        id: found.id,
        metadata: { name: found.name },
        state: found.state,
        labels: labels(found),
      });
      return { status };
    },
  };
}

export const Running = ContainerState.CONTAINER_RUNNING;
export const Exited = ContainerState.CONTAINER_EXITED;

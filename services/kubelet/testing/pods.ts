/** Short ways to write pods and what the runtime has of them, for table tests. */
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { containerHash } from '../runtime-manager/hash.ts';
import type { ContainerRecord, RuntimePodStatus, SandboxRecord } from '../runtime-manager/model.ts';

/** A pod with UID `u1`, named `p`, with one container `a` unless the spec says otherwise. */
export function podOf(spec: Partial<Pod['spec']> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    metadata: { name: 'p', namespace: 'ns', uid: 'u1', ...metadata },
    spec: { containers: [{ name: 'a', image: 'img' }], ...spec },
  };
}

/** A container's record: `a running`, `a exited 1`, `a created`, `a unknown`; ids are the names. */
export function record(text: string, more: Partial<ContainerRecord> = {}): ContainerRecord {
  const [name = '', state = 'running', code = '0'] = text.split(' ');
  return {
    id: `id-${name}`,
    name,
    sandboxId: 's0',
    state: state as ContainerRecord['state'],
    attempt: 0,
    createdAt: 1000,
    startedAt: 1000,
    finishedAt: state === 'exited' ? 5000 : 0,
    exitCode: Number(code),
    image: 'img',
    imageRef: 'sha256:1',
    imageId: 'sha256:1',
    hash: containerHash({ name, image: 'img' }),
    restartCount: 0,
    reason: state === 'exited' ? (code === '0' ? 'Completed' : 'Error') : '',
    message: '',
    logPath: '',
    mounts: [],
    resources: undefined,
    user: undefined,
    stopSignal: 0,
    annotations: {},
    ...more,
  };
}

/** A ready sandbox with an address. */
export function sandbox(more: Partial<SandboxRecord> = {}): SandboxRecord {
  return {
    id: 's0',
    attempt: 0,
    ready: true,
    createdAt: 500,
    ips: ['10.0.0.1'],
    network: NamespaceMode.POD,
    runtimeHandler: '',
    ...more,
  };
}

/** What the runtime has: the containers, newest first, in a ready sandbox unless others are given. */
export function runtimeOf(
  containers: (string | ContainerRecord)[],
  sandboxes: SandboxRecord[] = [sandbox()],
): RuntimePodStatus {
  return {
    uid: 'u1',
    name: 'p',
    namespace: 'ns',
    ips: sandboxes[0]?.ips ?? [],
    sandboxes,
    containers: containers.map((each) => (typeof each === 'string' ? record(each) : each)),
    at: 0,
  };
}

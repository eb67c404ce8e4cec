/** Runs pods through their lives and notes how long each call took. */
import type { CriClient } from '#contracts/cri/client.ts';
import { NamespaceMode, SecurityProfile_ProfileType } from '#contracts/cri/runtime_pb.ts';

/** Milliseconds of each call, by its name. */
export type Timings = Map<string, number[]>;

/** Calls in the order of a pod's life. */
export const calls = [
  'RunPodSandbox',
  'CreateContainer',
  'StartContainer',
  'create + start',
  'ExecSync',
  'StopContainer',
  'StopPodSandbox',
  'RemovePodSandbox',
] as const;

let last = 0;

/** A sandbox's configuration that a kubelet would send: its own PID namespace per container, RuntimeDefault seccomp. */
export function podConfig(label = 'bench') {
  last += 1;
  const name = `bench-${process.pid}-${last}`;
  return {
    metadata: { name, namespace: 'bench', uid: name, attempt: 0 },
    labels: { bench: label },
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
  };
}

/** A container's configuration: sleeps, with the default seccomp profile. */
export function containerConfig(image: string, name = 'c') {
  const securityContext = {
    namespaceOptions: { pid: NamespaceMode.CONTAINER },
    seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
    maskedPaths: ['/proc/kcore', '/proc/keys', '/proc/timer_list'],
    readonlyPaths: ['/proc/sys', '/proc/bus', '/proc/irq'],
  };
  return { metadata: { name, attempt: 0 }, image: { image }, linux: { securityContext } };
}

/** One pod from RunPodSandbox to RemovePodSandbox. */
export async function live({ runtime }: CriClient, image: string, timings: Timings): Promise<void> {
  const note = (name: string, ms: number) => timings.set(name, [...(timings.get(name) ?? []), ms]);
  const timed = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const answer = await call();
    note(name, performance.now() - start);
    return answer;
  };
  const config = podConfig();
  const { podSandboxId } = await timed('RunPodSandbox', () => runtime.runPodSandbox({ config }));
  const request = { podSandboxId, sandboxConfig: config, config: containerConfig(image) };
  const start = performance.now();
  const { containerId } = await timed('CreateContainer', () => runtime.createContainer(request));
  await timed('StartContainer', () => runtime.startContainer({ containerId }));
  note('create + start', performance.now() - start);
  await timed('ExecSync', () => runtime.execSync({ containerId, cmd: ['true'], timeout: 10n }));
  await timed('StopContainer', () => runtime.stopContainer({ containerId, timeout: 0n }));
  await timed('StopPodSandbox', () => runtime.stopPodSandbox({ podSandboxId }));
  await timed('RemovePodSandbox', () => runtime.removePodSandbox({ podSandboxId }));
}

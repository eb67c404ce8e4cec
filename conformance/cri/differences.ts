/**
 * Where a known runtime does otherwise, and why that is not the suite's error. A rule listed here that fails is
 * reported as `differs`; one that passes is reported as passed, so the table cannot hide what was mended.
 */
import type { Rule } from './rule.ts';

/** One difference. */
export interface Difference {
  /** `runtimeName` of Version. */
  runtime: string;
  /** Versions it is known of, as a prefix of `runtimeVersion`; every version if left out. */
  version?: string;
  /** The runtime handler it is known of; every one if left out. */
  handler?: string;
  /** `area: name` of the rule. */
  rule: string;
  reason: string;
  /** How it fails there: any other failure is none that is known. What cannot work must say so. */
  error?: RegExp;
  /** True if the runtime dies of the rule: it is not run there. */
  lethal?: true;
}

/** What a pod of its own kernel cannot be: it says so, and what to do instead. */
const vmRefusal = /cannot be a VM .*runtimeClassName: plain/s;

/** The table. */
export const differences: readonly Difference[] = [
  ...containerd('1.6', 'the field or RPC is younger than containerd 1.6', [
    'runtime-info: Status lists the runtime handlers, the default also under the empty name',
    'runtime-info: RuntimeConfig names the cgroup driver',
    'containers: the status gives the id that PullImage answered as image_id',
    "lifecycle: the request's stop_signal goes before the image's",
    'volumes: an image volume shows the image, read-only but executable',
    'volumes: the status of an image volume tells which image it is',
    'volumes: an image volume can be a directory of the image, which must exist and stay inside',
    'security: ContainerStatus tells the user that the container runs as',
    'resources: UpdatePodSandboxResources of a sandbox succeeds, of an unknown one it fails',
    'stats: metrics have a description each, and as many labels as it says',
    'stats: the Stream RPCs give what the List RPCs give',
    'events: a container is told CREATED, STARTED, STOPPED, DELETED, each with the status of its pod',
    'events: a sandbox is told under its own id, and DELETED carries its status',
    'events: two listeners both see everything',
    'bad-input: a device, a sysctl, a seccomp profile that are not there fail with their names',
  ]),
  ...containerd('1.6', 'containerd before 1.7 answers NOT_FOUND for ids that it does not know', [
    'sandboxes: stopping or removing an unknown sandbox succeeds',
    'containers: an unknown container: status and start are NOT_FOUND, stop and remove succeed',
  ]),
  ...containerd(
    '1.6',
    'enable_unprivileged_ports and enable_unprivileged_icmp are off by default before 2.0',
    ['networking: an unprivileged process may open low ports and ping'],
  ),
  ...containerd('', 'its streaming server knows neither v5 nor tunnels: the kubelet translates both', [
    'streaming: exec over WebSocket v5: outputs apart, exit code, standard input',
    'streaming: exec over WebSocket v5: 100 MB through standard input come back byte for byte',
    'streaming: port-forward over tunnel: several connections, and a closed port says so',
  ]),
  ...containerd('', 'it ignores the filter of ListImages', [
    'images: ListImages with a filter lists that image only',
  ]),
  ...containerd(
    '',
    'it kills only the command itself; a child that holds its outputs keeps the call waiting',
    ['exec-sync: a command that takes too long is killed with its children before the answer'],
  ),
  ...containerd(
    '',
    'the pause container mounts the sysfs of the pod read-only first, which holds for later mounts',
    ['security: a privileged container has all capabilities, the devices, and a writable /sys'],
  ),
  ...containerd('', 'it joins log paths as they come: it trusts the kubelet', [
    'bad-input: a log path does not leave the log directory',
  ]),
  ...containerd('1.6', 'one sandbox without a cgroup parent fails the whole list', [
    'stats: ListPodSandboxStats filters by id and labels; without a filter it lists all',
  ]),
  ...containerd('1.6', 'the end of a burst can be lost when the container ends right after it', [
    'logs: nothing of a burst is lost, and the order is kept',
  ]),
  ...vm(vmRefusal, "privileged pods are for the host's devices, which a VM has not got", [
    'volumes: a host-to-container mount sees what is mounted on the host later, and gives nothing back',
    'volumes: a bidirectional mount gives back what the container mounts',
    'volumes: bidirectional needs a shared source, host-to-container a shared or slave one',
    'security: a privileged container has all capabilities, the devices, and a writable /sys',
    'security: seccomp does not hold for privileged containers',
  ]),
  ...vm(vmRefusal, "a VM has a kernel of its own and so none of the host's namespaces", [
    'sandboxes: a sandbox with a network has an address; one with the host network has none',
    'sandboxes: the namespace options are echoed',
    "namespaces: PID NODE: the host's processes",
    "namespaces: IPC NODE and network NODE are the host's",
    'namespaces: a stopped container with host PIDs leaves no process behind',
    "networking: a pod with the host's network has its name and its interfaces",
    'streaming: port-forward reaches a pod with the host network',
  ]),
  {
    runtime: 'containerd',
    rule: 'streaming: rubbish after the upgrade ends that connection only',
    reason: 'the whole of containerd dies of it, in the header parser of moby/spdystream (seen with 1.6.20)',
    lethal: true,
  },
];

function containerd(version: string, reason: string, rules: string[]): Difference[] {
  return rules.map((rule) => ({ runtime: 'containerd', version, rule, reason }));
}

/** What pods of the handler `vm` cannot do, each with the words that it must fail with. */
function vm(error: RegExp, reason: string, rules: string[]): Difference[] {
  return rules.map((rule) => ({ runtime: 'skiff', handler: 'vm', error, reason, rule }));
}

/** What is known of a runtime and a rule; undefined if nothing is. */
export function differenceOf(
  rule: Pick<Rule, 'area' | 'name'>,
  runtime: { name: string; version: string },
  handler = '',
): Difference | undefined {
  const title = `${rule.area}: ${rule.name}`;
  return differences.find(
    (each) =>
      each.runtime === runtime.name &&
      (each.handler ?? handler) === handler &&
      runtime.version.replace(/^v/, '').startsWith(each.version ?? '') &&
      each.rule === title,
  );
}

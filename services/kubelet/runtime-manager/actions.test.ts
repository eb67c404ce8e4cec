/** One line for each rule of what is done for a pod (kubelet-facts 3). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import type { Container, Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import type { ProbeResult } from '../ports.ts';
import { podOf, record, runtimeOf, sandbox } from '../testing/pods.ts';
import { computeActions, type PodActions } from './actions.ts';
import type { RuntimePodStatus } from './model.ts';

interface Row {
  rule: string;
  pod: Pod;
  has: RuntimePodStatus;
  /** `liveness id-a` to its result. */
  probes?: Record<string, ProbeResult>;
  actuated?: Record<string, ResourceRequirements>;
  /** The actions in words: `kill-pod sandbox#1 kill:a init:i start:a,b`. */
  does: string;
}

const c = (name: string, more: Partial<Container> = {}): Container => ({ name, image: 'img', ...more });
const sidecar = (name: string, more: Partial<Container> = {}) =>
  c(name, { restartPolicy: 'Always', ...more });
const two = { containers: [c('a'), c('b')] };
const probe = { exec: { command: ['true'] } };
const onExit = (action: string, values: number[], operator = 'In') => ({
  restartPolicy: 'Never',
  restartPolicyRules: [{ action, exitCodes: { operator, values } }],
});

function words(actions: PodActions): string {
  const names = (list: { name: string }[]) => list.map(({ name }) => name).join(',');
  return [
    actions.restartAll === undefined ? '' : 'restart-all',
    actions.killPod ? 'kill-pod' : '',
    actions.createSandbox ? `sandbox#${actions.attempt}` : '',
    actions.kill.length > 0 ? `kill:${names(actions.kill.map((each) => each.record))}` : '',
    actions.startEphemeral.length > 0 ? `ephemeral:${names(actions.startEphemeral)}` : '',
    actions.startInit.length > 0 ? `init:${names(actions.startInit)}` : '',
    actions.start.length > 0 ? `start:${names(actions.start)}` : '',
    actions.resize.length > 0 ? `resize:${names(actions.resize.map((each) => each.container))}` : '',
  ]
    .filter((word) => word !== '')
    .join(' ');
}

const sandboxRows: Row[] = [
  { rule: 'a new pod', pod: podOf(two), has: runtimeOf([], []), does: 'kill-pod sandbox#0 start:a,b' },
  {
    rule: 'a new pod with init containers begins with the first',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf([], []),
    does: 'kill-pod sandbox#0 init:i',
  },
  {
    rule: 'a sandbox that is not ready is replaced',
    pod: podOf(),
    has: runtimeOf(['a exited 137'], [sandbox({ ready: false })]),
    does: 'kill-pod sandbox#1 start:a',
  },
  {
    rule: 'two ready sandboxes are one too many',
    pod: podOf(),
    has: runtimeOf(['a running'], [sandbox({ attempt: 3 }), sandbox({ id: 's1', attempt: 2 })]),
    does: 'kill-pod sandbox#4 start:a',
  },
  {
    rule: 'another network mode',
    pod: podOf({ hostNetwork: true }),
    has: runtimeOf(['a running']),
    does: 'kill-pod sandbox#1 start:a',
  },
  {
    rule: 'no address without host network',
    pod: podOf(),
    has: runtimeOf(['a running'], [sandbox({ ips: [] })]),
    does: 'kill-pod sandbox#1 start:a',
  },
  {
    rule: 'no address is fine with host network',
    pod: podOf({ hostNetwork: true }),
    has: runtimeOf(['a running'], [sandbox({ ips: [], network: NamespaceMode.NODE })]),
    does: '',
  },
  {
    rule: 'policy Never: no second sandbox once containers ran',
    pod: podOf({ restartPolicy: 'Never' }),
    has: runtimeOf(['a exited 137'], [sandbox({ ready: false })]),
    does: 'kill-pod',
  },
  {
    rule: 'policy OnFailure: what succeeded is not started in a new sandbox',
    pod: podOf({ ...two, restartPolicy: 'OnFailure' }),
    has: runtimeOf(['a exited 0', 'b exited 1'], [sandbox({ ready: false })]),
    does: 'kill-pod sandbox#1 start:b',
  },
  {
    rule: 'nothing left to start needs no new sandbox',
    pod: podOf({ restartPolicy: 'OnFailure' }),
    has: runtimeOf(['a exited 0'], [sandbox({ ready: false })]),
    does: 'kill-pod',
  },
  {
    rule: 'a new sandbox begins with the first init container again',
    pod: podOf({ initContainers: [c('i')] }),
    has: runtimeOf(['a exited 137', 'i exited 0'], [sandbox({ ready: false })]),
    does: 'kill-pod sandbox#1 init:i',
  },
];

const regularRows: Row[] = [
  { rule: 'all is well', pod: podOf(two), has: runtimeOf(['a running', 'b running']), does: '' },
  {
    rule: 'Always restarts a success',
    pod: podOf(two),
    has: runtimeOf(['a exited 0', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'OnFailure leaves a success',
    pod: podOf({ ...two, restartPolicy: 'OnFailure' }),
    has: runtimeOf(['a exited 0', 'b running']),
    does: '',
  },
  {
    rule: 'OnFailure restarts a failure',
    pod: podOf({ ...two, restartPolicy: 'OnFailure' }),
    has: runtimeOf(['a exited 3', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'a kill for memory is a failure even at exit 0',
    pod: podOf({ ...two, restartPolicy: 'OnFailure' }),
    has: runtimeOf([record('a exited 0', { reason: 'OOMKilled' }), 'b running']),
    does: 'start:a',
  },
  {
    rule: 'Never leaves a failure',
    pod: podOf({ ...two, restartPolicy: 'Never' }),
    has: runtimeOf(['a exited 3', 'b running']),
    does: '',
  },
  {
    rule: 'a container that was created only is started anew',
    pod: podOf(two),
    has: runtimeOf(['a created', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'an unknown state is killed first',
    pod: podOf(two),
    has: runtimeOf(['a unknown', 'b running']),
    does: 'kill:a start:a',
  },
  {
    rule: 'a changed image restarts, also with Never',
    pod: podOf({ ...two, restartPolicy: 'Never' }),
    has: runtimeOf([record('a running', { hash: 'other' }), 'b running']),
    does: 'kill:a start:a',
  },
  {
    rule: 'a container of somebody else, without hash, is kept',
    pod: podOf(),
    has: runtimeOf([record('a running', { hash: '' })]),
    does: '',
  },
  {
    rule: 'liveness failure restarts',
    pod: podOf(two),
    has: runtimeOf(['a running', 'b running']),
    probes: { 'liveness id-a': 'failure' },
    does: 'kill:a start:a',
  },
  {
    rule: 'liveness failure with Never only kills',
    pod: podOf({ ...two, restartPolicy: 'Never' }),
    has: runtimeOf(['a running', 'b running']),
    probes: { 'liveness id-a': 'failure' },
    does: 'kill:a',
  },
  {
    rule: 'startup failure restarts',
    pod: podOf(),
    has: runtimeOf(['a running']),
    probes: { 'startup id-a': 'failure' },
    does: 'kill:a start:a',
  },
  {
    rule: 'readiness failure does nothing',
    pod: podOf(),
    has: runtimeOf(['a running']),
    probes: { 'readiness id-a': 'failure' },
    does: '',
  },
  {
    rule: 'nothing runs and nothing is to start: the pod ends, sidecars too',
    pod: podOf({ restartPolicy: 'Never', initContainers: [sidecar('s')] }),
    has: runtimeOf(['a exited 0', 's running']),
    does: 'kill-pod',
  },
  {
    rule: 'a deleted pod starts nothing',
    pod: podOf(two, { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    has: runtimeOf(['a exited 1', 'b running']),
    does: '',
  },
];

const ruleRows: Row[] = [
  {
    rule: 'a rule restarts although the policy is Never',
    pod: podOf({ containers: [c('a', onExit('Restart', [42])), c('b')], restartPolicy: 'Never' }),
    has: runtimeOf(['a exited 42', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'another exit code does not match',
    pod: podOf({ containers: [c('a', onExit('Restart', [42])), c('b')] }),
    has: runtimeOf(['a exited 1', 'b running']),
    does: '',
  },
  {
    rule: 'NotIn matches all others',
    pod: podOf({ containers: [c('a', onExit('Restart', [0], 'NotIn')), c('b')] }),
    has: runtimeOf(['a exited 7', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'rules without a policy of the container do not count',
    pod: podOf({
      containers: [{ ...c('a'), restartPolicyRules: onExit('Restart', [1]).restartPolicyRules }, c('b')],
      restartPolicy: 'Never',
    }),
    has: runtimeOf(['a exited 1', 'b running']),
    does: '',
  },
  {
    rule: "a container's policy overrides the pod's",
    pod: podOf({ containers: [c('a', { restartPolicy: 'OnFailure' }), c('b')], restartPolicy: 'Never' }),
    has: runtimeOf(['a exited 1', 'b running']),
    does: 'start:a',
  },
  {
    rule: 'RestartAllContainers',
    pod: podOf({ containers: [c('a', onExit('RestartAllContainers', [9])), c('b')] }),
    has: runtimeOf(['a exited 9', 'b running']),
    does: 'restart-all',
  },
];

const initRows: Row[] = [
  {
    rule: 'a running init container is waited for',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf(['i running']),
    does: '',
  },
  {
    rule: 'the next init container follows a success',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf(['i exited 0']),
    does: 'init:j',
  },
  {
    rule: 'the regular containers follow the last success',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf(['j exited 0', 'i exited 0']),
    does: 'start:a',
  },
  {
    rule: 'older init containers may be collected already',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf(['j exited 0']),
    does: 'start:a',
  },
  {
    rule: 'a failed init container is restarted',
    pod: podOf({ initContainers: [c('i'), c('j')] }),
    has: runtimeOf(['i exited 1']),
    does: 'init:i',
  },
  {
    rule: 'a failed init container with Never ends the pod',
    pod: podOf({ initContainers: [c('i'), c('j')], restartPolicy: 'Never' }),
    has: runtimeOf(['i exited 1']),
    does: 'kill-pod',
  },
  {
    rule: 'an init container killed for memory has failed',
    pod: podOf({ initContainers: [c('i')], restartPolicy: 'Never' }),
    has: runtimeOf([record('i exited 0', { reason: 'OOMKilled' })]),
    does: 'kill-pod',
  },
  {
    rule: 'a created init container is started anew',
    pod: podOf({ initContainers: [c('i')] }),
    has: runtimeOf(['i created']),
    does: 'init:i',
  },
  {
    rule: 'a running regular container says that init is done',
    pod: podOf({ initContainers: [c('i')] }),
    has: runtimeOf(['a running']),
    does: '',
  },
  {
    rule: 'a started sidecar releases the next init container',
    pod: podOf({ initContainers: [sidecar('s'), c('i')] }),
    has: runtimeOf(['s running']),
    does: 'init:i',
  },
  {
    rule: 'a sidecar whose startup probe has not passed holds the next back',
    pod: podOf({ initContainers: [sidecar('s', { startupProbe: probe }), c('i')] }),
    has: runtimeOf(['s running']),
    does: '',
  },
  {
    rule: 'a sidecar whose startup probe has passed releases the next',
    pod: podOf({ initContainers: [sidecar('s', { startupProbe: probe }), c('i')] }),
    has: runtimeOf(['s running']),
    probes: { 'startup id-s': 'success' },
    does: 'init:i',
  },
  {
    rule: 'a sidecar whose startup probe failed is restarted',
    pod: podOf({ initContainers: [sidecar('s', { startupProbe: probe }), c('i')] }),
    has: runtimeOf(['s running']),
    probes: { 'startup id-s': 'failure' },
    does: 'kill:s init:s',
  },
  {
    rule: 'the last sidecar releases the regular containers',
    pod: podOf({ initContainers: [c('i'), sidecar('s')] }),
    has: runtimeOf(['s running', 'i exited 0']),
    does: 'start:a',
  },
  {
    rule: 'an ended sidecar is restarted while the pod runs, also with Never',
    pod: podOf({ initContainers: [sidecar('s')], restartPolicy: 'Never' }),
    has: runtimeOf(['a running', 's exited 0']),
    does: 'init:s',
  },
  {
    rule: 'a sidecar before the frontier that ended is restarted beside the next init container',
    pod: podOf({ initContainers: [sidecar('s'), c('i'), c('j')] }),
    has: runtimeOf(['i exited 0', 's exited 1']),
    does: 'init:s,j',
  },
  {
    rule: 'a sidecar without a record is started while the pod runs',
    pod: podOf({ initContainers: [sidecar('s')] }),
    has: runtimeOf(['a running']),
    does: 'init:s',
  },
  {
    rule: 'a sidecar that fails its liveness probe is restarted',
    pod: podOf({ initContainers: [sidecar('s')] }),
    has: runtimeOf(['a running', 's running']),
    probes: { 'liveness id-s': 'failure' },
    does: 'kill:s init:s',
  },
  {
    rule: 'an ordinary init container is never restarted once the pod runs',
    pod: podOf({ initContainers: [c('i')] }),
    has: runtimeOf(['a running', 'i exited 1']),
    does: '',
  },
];

const otherRows: Row[] = [
  {
    rule: 'an ephemeral container starts, also before init is done',
    pod: podOf({ initContainers: [c('i')], ephemeralContainers: [{ name: 'e', image: 'img' }] }),
    has: runtimeOf(['i running']),
    does: 'ephemeral:e',
  },
  {
    rule: 'an ephemeral container never starts twice',
    pod: podOf({ ephemeralContainers: [{ name: 'e', image: 'img' }] }),
    has: runtimeOf(['a running', 'e exited 1']),
    does: '',
  },
  {
    rule: 'changed resources are set in place',
    pod: podOf({ containers: [c('a', { resources: { limits: { cpu: '2' } } })] }),
    has: runtimeOf(['a running']),
    actuated: { a: { limits: { cpu: '1' } } },
    does: 'resize:a',
  },
  {
    rule: 'the same resources in other words are no change',
    pod: podOf({ containers: [c('a', { resources: { limits: { cpu: '2' } } })] }),
    has: runtimeOf(['a running']),
    actuated: { a: { limits: { cpu: '2000m' } } },
    does: '',
  },
  {
    rule: 'a resize policy may ask for a restart',
    pod: podOf({
      containers: [
        c('a', {
          resources: { limits: { memory: '2Gi' } },
          resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }],
        }),
      ],
    }),
    has: runtimeOf(['a running']),
    actuated: { a: { limits: { memory: '1Gi' } } },
    does: 'kill:a start:a',
  },
];

for (const row of [...sandboxRows, ...regularRows, ...ruleRows, ...initRows, ...otherRows]) {
  test(`actions: ${row.rule}`, () => {
    const actions = computeActions(row.pod, row.has, {
      result: (kind, id) => row.probes?.[`${kind} ${id}`],
      actuated: (_, container) => row.actuated?.[container],
    });
    assert.equal(words(actions), row.does);
  });
}

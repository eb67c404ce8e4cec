/** One line for each rule of what is done for a pod (kubelet-facts 3); init containers have their own file. */
import { NamespaceMode } from '#contracts/cri/runtime_pb.ts';
import { c, type Row, sidecar, testRows } from '../testing/action-rows.ts';
import { podOf, record, runtimeOf, sandbox } from '../testing/pods.ts';

const two = { containers: [c('a'), c('b')] };
const onExit = (action: string, values: number[], operator = 'In') => ({
  restartPolicy: 'Never',
  restartPolicyRules: [{ action, exitCodes: { operator, values } }],
});

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

testRows([...sandboxRows, ...regularRows, ...ruleRows, ...otherRows]);

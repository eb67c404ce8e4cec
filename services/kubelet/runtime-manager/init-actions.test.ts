/** One line for each rule of init containers and sidecars (kubelet-facts 3). */
import { c, type Row, sidecar, testRows } from '../testing/action-rows.ts';
import { podOf, record, runtimeOf } from '../testing/pods.ts';

const probe = { exec: { command: ['true'] } };

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

testRows(initRows);

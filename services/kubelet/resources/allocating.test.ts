import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { withDefaults } from '../configuration/defaults.ts';
import type { Admission, AdmitResult } from '../ports.ts';
import { createAllocating, reservedCpus } from './allocating.ts';

const guaranteed: Pod = {
  metadata: { name: 'p', uid: 'p' },
  spec: { containers: [{ name: 'c', image: 'i', resources: { limits: { cpu: '1', memory: '1Gi' } } }] },
};
const burstable: Pod = {
  ...guaranteed,
  spec: { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }] },
};

function setup(
  admits: boolean,
  staticPolicies: { cpus?: boolean; memory?: boolean } = {},
  given: AdmitResult = { admit: true },
) {
  const calls: string[] = [];
  const base: Admission = {
    admit: async () => (admits ? { admit: true } : { admit: false, reason: 'OutOfcpu', message: 'no' }),
    fits: () => ({ admit: true }),
    retain: (uids) => void calls.push(`base keeps ${[...uids]}`),
  };
  const admission = createAllocating(base, {
    topology: {
      admit: async (pod) => {
        calls.push(`allocate ${pod.metadata.uid}`);
        return given;
      },
      retain: (uids) => void calls.push(`topology keeps ${[...uids]}`),
    },
    dynamicResources: { retain: (uids) => void calls.push(`claims keep ${[...uids]}`) },
    staticCpus: staticPolicies.cpus === true,
    staticMemory: staticPolicies.memory === true,
  });
  return { admission, calls };
}

test('what cannot be given keeps a pod out before anybody looks whether the rest fits', async () => {
  const refused = setup(false);
  assert.equal((await refused.admission.admit(guaranteed, [])).admit, false);
  assert.deepEqual(refused.calls, ['allocate p']);
  const empty = setup(false, {}, { admit: false, reason: 'TopologyAffinityError', message: 'not there' });
  const verdict = await empty.admission.admit(guaranteed, []);
  assert.equal(verdict.admit ? 'admitted' : verdict.reason, 'TopologyAffinityError');
  assert.equal((await setup(true).admission.admit(guaranteed, [])).admit, true);
});

test('all give back what pods had that hold nothing any more', () => {
  const { admission, calls } = setup(true);
  admission.retain(new Set(['a', 'b']));
  assert.deepEqual(calls, ['base keeps a,b', 'topology keeps a,b', 'claims keep a,b']);
});

for (const [name, policies, pod, wanted] of [
  ['CPUs of its own', { cpus: true }, guaranteed, /Guaranteed Pods alongside CPU Manager static policy/],
  [
    'memory of its own',
    { memory: true },
    guaranteed,
    /Guaranteed Pods alongside Memory Manager static policy/,
  ],
  ['shared CPUs', { cpus: true, memory: true }, burstable, undefined],
  ['no policy', {}, guaranteed, undefined],
] as const)
  test(`a resize with ${name}`, () => {
    const verdict = setup(true, policies).admission.fits(pod, []);
    if (wanted === undefined) assert.deepEqual(verdict, { admit: true });
    else {
      assert.equal(verdict.infeasible, true);
      assert.match(verdict.admit ? '' : verdict.message, wanted);
    }
  });

test('the static policy keeps CPUs back, those that are named or as many as are reserved', () => {
  const cpus = [0, 1, 2, 3].map((id) => ({ id, socket: 0, core: String(id >> 1), numa: 0 }));
  const reserved = (fields: Parameters<typeof withDefaults>[0]) =>
    reservedCpus(withDefaults(fields, true), cpus);
  assert.deepEqual(reserved({}), []);
  assert.deepEqual(reserved({ cpuManagerPolicy: 'static', reservedSystemCPUs: '1,3' }), [1, 3]);
  assert.deepEqual(
    reserved({ cpuManagerPolicy: 'static', kubeReserved: { cpu: '1500m' }, systemReserved: { cpu: '100m' } }),
    [0, 1],
  );
  assert.throws(
    () => reserved({ cpuManagerPolicy: 'static' }),
    /requires reservedSystemCPUs, or kubeReserved/,
  );
});

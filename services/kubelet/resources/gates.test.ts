import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { createGates, type GateDeps } from './gates.ts';

const admits = {
  admit: async () => ({ admit: true }) as const,
  fits: () => ({ admit: true }) as const,
  retain: () => {},
};
const none = { memory: false, disk: false, pid: false };

async function reasonFor(
  spec: Partial<Pod['spec']>,
  changes: Partial<GateDeps> = {},
  annotations: Record<string, string> = {},
) {
  const gates = createGates(admits, {
    pressure: () => none,
    shuttingDown: () => undefined,
    allowedUnsafeSysctls: ['net.core.*', 'kernel.msgmax'],
    appArmor: () => false,
    ...changes,
  });
  const pod: Pod = {
    metadata: { name: 'p', annotations },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
  };
  const result = await gates.admit(pod, []);
  return result.admit ? 'admitted' : result.reason;
}

const requests = { containers: [{ name: 'c', image: 'i', resources: { requests: { cpu: '1' } } }] };
const sysctl = (name: string) => ({ securityContext: { sysctls: [{ name, value: '1' }] } });
const memory = { pressure: () => ({ ...none, memory: true }) };
const disk = { pressure: () => ({ ...none, disk: true }) };
const tolerations = [{ key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' }];

for (const [name, spec, changes, wanted] of [
  ['an ordinary pod', {}, {}, 'admitted'],
  ['best effort under memory pressure', {}, memory, 'Evicted'],
  ['best effort that tolerates it', { tolerations }, memory, 'admitted'],
  ['burstable under memory pressure', requests, memory, 'admitted'],
  ['burstable under disk pressure', requests, disk, 'Evicted'],
  ['a critical pod under disk pressure', { priority: 2_000_000_000 }, disk, 'admitted'],
  ['a safe sysctl', sysctl('net.ipv4.tcp_syncookies'), {}, 'admitted'],
  ['a safe sysctl in slashes', sysctl('net/ipv4/tcp_syncookies'), {}, 'admitted'],
  ['an unsafe sysctl', sysctl('kernel.sem'), {}, 'SysctlForbidden'],
  ['an allowed one', sysctl('kernel.msgmax'), {}, 'admitted'],
  ['an allowed beginning', sysctl('net.core.somaxconn'), {}, 'admitted'],
  [
    'a sysctl of the node’s network',
    { ...sysctl('net.core.somaxconn'), hostNetwork: true },
    {},
    'SysctlForbidden',
  ],
  ['a sysctl of the node’s IPC', { ...sysctl('kernel.msgmax'), hostIPC: true }, {}, 'SysctlForbidden'],
  ['any pod while shutting down', {}, { shuttingDown: () => 'node is shutting down' }, 'NodeShutdown'],
  [
    'AppArmor that is not there',
    { securityContext: { appArmorProfile: { type: 'RuntimeDefault' } } },
    {},
    'AppArmor',
  ],
  ['AppArmor unconfined', { securityContext: { appArmorProfile: { type: 'Unconfined' } } }, {}, 'admitted'],
] as [string, Partial<Pod['spec']>, Partial<GateDeps>, string][])
  test(`admission of ${name}: ${wanted}`, async () => assert.equal(await reasonFor(spec, changes), wanted));

test('static pods pass under pressure', async () => {
  assert.equal(await reasonFor({}, disk, { 'kubernetes.io/config.source': 'file' }), 'admitted');
});

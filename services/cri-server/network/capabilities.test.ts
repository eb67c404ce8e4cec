import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { PodSandboxConfigSchema, Protocol } from '#contracts/cri/runtime_pb.ts';
import { podIps } from './addresses.ts';
import { argsOf, capabilitiesOf } from './capabilities.ts';
import { parseQuantity } from './quantity.ts';

test('a pod is told to plugins by arguments and capabilities', () => {
  const config = create(PodSandboxConfigSchema, {
    metadata: { name: 'web', namespace: 'shop', uid: 'u;x=1' },
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: Protocol.TCP, hostIp: '127.0.0.1' },
      { hostPort: 0, containerPort: 81 },
      { hostPort: 53, containerPort: 5353, protocol: Protocol.UDP },
    ],
    annotations: { 'kubernetes.io/ingress-bandwidth': '10M', 'skiff.dev/ips': '10.0.0.9, fd00::9' },
    dnsConfig: { servers: ['10.0.0.10'] },
    linux: { cgroupParent: '/kubepods/x' },
  });
  // A separator in a value would begin another argument.
  assert.equal(
    argsOf('id', config),
    'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=id;K8S_POD_UID=ux=1',
  );
  const capabilities = capabilitiesOf(config);
  assert.deepEqual(capabilities.portMappings, [
    { hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '127.0.0.1' },
    { hostPort: 53, containerPort: 5353, protocol: 'udp' },
  ]);
  assert.deepEqual(capabilities.bandwidth, { ingressRate: 10_000_000, ingressBurst: 2 ** 31 - 1 });
  assert.deepEqual(capabilities.ips, ['10.0.0.9', 'fd00::9']);
  assert.deepEqual(capabilities.dns, { servers: ['10.0.0.10'], searches: [], options: [] });
  assert.equal(capabilities.cgroupPath, '/kubepods/x');
});

test('quantities', () => {
  for (const [text, value] of [
    ['10M', 1e7],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['500k', 5e5],
    ['2e6', 2e6],
    ['7', 7],
  ] as const)
    assert.equal(parseQuantity(text), value);
  for (const text of ['', 'M', '1X', '-1', '1 0', 'fast']) assert.equal(parseQuantity(text), undefined);
});

test("only addresses inside the pod are the pod's, in the order of the result", () => {
  const interfaces = [{ name: 'br' }, { name: 'eth0', sandbox: '/ns' }];
  const ips = [
    { address: 'fd00::2/64', interface: 1 },
    { address: '10.0.0.1/24', interface: 0 },
    { address: '10.0.0.2/24', interface: 1 },
  ];
  assert.deepEqual(podIps({ cniVersion: '1.0.0', interfaces, ips }), ['fd00::2', '10.0.0.2']);
  assert.deepEqual(podIps({ cniVersion: '1.0.0', ips: [{ address: '10.0.0.3/24' }] }), ['10.0.0.3']);
  assert.deepEqual(podIps({ cniVersion: '1.0.0' }), []);
});

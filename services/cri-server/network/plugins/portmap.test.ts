/** Flows that began before a UDP port was published are cut off, and those of a pod that is gone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SkiffError } from '#foundation/base/errors.ts';
import type { FlowFilter } from '#foundation/linux/conntrack.ts';
import type { PacketFilter } from '../filter/index.ts';
import { createPortmapPlugin } from './portmap.ts';

const portMappings = [
  { hostPort: 53, containerPort: 5353, protocol: 'udp' },
  { hostPort: 54, containerPort: 5454, protocol: 'udp', hostIP: '192.0.2.7' },
  { hostPort: 80, containerPort: 8080, protocol: 'tcp' },
];
const result = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'br0' }],
  ips: [{ address: '10.0.0.5/24' }, { address: 'fd00::5/64' }],
};

function call() {
  const config = {
    cniVersion: '1.0.0',
    name: 'n',
    type: 'portmap',
    runtimeConfig: { portMappings },
    prevResult: result,
  };
  return { config, containerId: 'c', netns: '/x', ifName: 'eth0' } as never;
}

function plugin(forget: (flows: FlowFilter) => unknown) {
  const steps: string[] = [];
  const filter = {
    publish: async () => void steps.push('publish'),
    unpublish: async () => void steps.push('unpublish'),
  } as unknown as PacketFilter;
  const portmap = createPortmapPlugin(filter, (flows) => {
    const { family, port, address } = flows;
    steps.push(`forget ${family} ${port}${address === undefined ? '' : ` ${[...address].join('.')}`}`);
    return forget(flows);
  });
  return { portmap, steps };
}

const signal = new AbortController().signal;
const forgotten = ['forget ip 53', 'forget ip6 53', 'forget ip 54 192.0.2.7'];

test('UDP flows are forgotten once the rules are there, and once they are gone', async () => {
  const { portmap, steps } = plugin(() => 1);
  await portmap.add(call(), signal);
  assert.deepEqual(steps, ['publish', ...forgotten]);
  steps.length = 0;
  await portmap.delete(call(), signal);
  assert.deepEqual(steps, ['unpublish', ...forgotten]);
});

test('a kernel without connection tracking is no reason to refuse a pod', async () => {
  const { portmap } = plugin(() => {
    throw new SkiffError('INTERNAL', 'Cannot list tracked connections: EINVAL');
  });
  await portmap.add(call(), signal);
});

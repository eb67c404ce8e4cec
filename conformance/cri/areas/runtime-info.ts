/** Version, Status, RuntimeConfig, UpdateRuntimeConfig. */
import assert from 'node:assert/strict';
import { CgroupDriver } from '#contracts/cri/runtime_pb.ts';
import { area } from '../rule.ts';

export const runtimeInfo = area('runtime-info', (rule) => {
  rule('Version answers 0.1.0, a name, a version with numbers, and v1', async ({ cri }) => {
    const version = await cri.runtime.version({ version: '0.1.0' });
    assert.equal(version.version, '0.1.0');
    assert.notEqual(version.runtimeName, '');
    assert.match(version.runtimeVersion, /^v?\d+\.\d+\.\d+/);
    assert.equal(version.runtimeApiVersion, 'v1');
  });

  rule('Status says RuntimeReady and NetworkReady', async ({ cri }) => {
    const { status } = await cri.runtime.status({});
    const conditions = new Map(status?.conditions.map((each) => [each.type, each.status]));
    assert.equal(conditions.get('RuntimeReady'), true);
    assert.equal(conditions.get('NetworkReady'), true);
  });

  rule('Status gives its configuration as JSON only when asked to be verbose', async ({ cri }) => {
    const { info } = await cri.runtime.status({ verbose: true });
    assert.equal(typeof JSON.parse(info.config ?? 'null'), 'object');
    assert.deepEqual((await cri.runtime.status({})).info, {});
  });

  rule('Status lists the runtime handlers, the default also under the empty name', async ({ cri }) => {
    const { runtimeHandlers } = await cri.runtime.status({});
    const names = runtimeHandlers.map((each) => each.name);
    assert.ok(names.includes(''), `no handler "" in ${JSON.stringify(names)}`);
    assert.ok(names.some((each) => each !== ''));
    assert.equal(new Set(names).size, names.length, 'a handler is listed twice');
  });

  rule('RuntimeConfig names the cgroup driver', async ({ cri }) => {
    const { linux } = await cri.runtime.runtimeConfig({});
    assert.ok(linux !== undefined, 'no linux configuration');
    assert.ok(linux.cgroupDriver === CgroupDriver.SYSTEMD || linux.cgroupDriver === CgroupDriver.CGROUPFS);
  });

  rule('UpdateRuntimeConfig takes a pod CIDR and does not break the network', async ({ cri, pod }) => {
    await cri.runtime.updateRuntimeConfig({ runtimeConfig: { networkConfig: { podCidr: '10.250.0.0/24' } } });
    const { id } = await pod();
    const { status } = await cri.runtime.podSandboxStatus({ podSandboxId: id });
    assert.notEqual(status?.network?.ip, '');
  });
});

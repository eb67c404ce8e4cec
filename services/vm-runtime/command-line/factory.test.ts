/** `skiff-vm factory`: pods' VMs from what was made ready. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { ociStage } from '../../../test/vm/oci-stage.ts';

const MiB = 1024 * 1024;

test('a pod takes a VM that waits, or a clone, or boots; what is ready is taken away without a trace', (t) => {
  const { root, vm, vmWith, pods } = ociStage(t);
  const must = (...args: string[]) => {
    const { code, err } = vm(...args);
    assert.equal(code, 0, err);
  };
  /** Makes a pod. @returns where its VM came from. */
  const make = (id: string, mib: number) => {
    const wish = {
      ...{ id, hostname: '', vcpus: 1, memoryBytes: mib * MiB, sysctls: {} },
      ...{ sharedPid: false, endsWithLast: false, deferred: false },
    };
    const { code, err } = vmWith(Buffer.from(JSON.stringify(wish)), 'pod', 'create', '-');
    assert.equal(code, 0, err);
    const socket = pods().find((pod) => pod.id === id)?.socket ?? '';
    return /"origin":"(\w+)"/.exec(readFileSync(join(dirname(socket), 'log'), 'utf8'))?.[1];
  };
  const ready = () =>
    ['t', 'w'].map((kind) => {
      const place = join(root, '.cache', kind);
      return existsSync(place) ? readdirSync(place).filter((name) => name !== 'lock').length : 0;
    });
  must('factory', 'refill', '--kind', 'template', '--shape', '1x256');
  assert.deepEqual(ready(), [1, 0]);
  must('factory', 'refill', '--kind', 'template', '--waiting', '1', '--shape', '1x256');
  assert.deepEqual(ready(), [1, 1]);
  assert.equal(make('first', 256), 'template');
  assert.deepEqual(ready(), [1, 0]);
  assert.equal(make('second', 256), 'template');
  assert.equal(make('third', 192), 'direct');
  must('factory', 'refill', '--kind', 'cache', '--waiting', '1', '--shape', '1x192');
  assert.deepEqual(ready(), [1, 1]);
  must('factory', 'drain');
  assert.deepEqual(ready(), [0, 0]);
  assert.equal(pods().filter(({ state }) => state === 'READY').length, 3);
  assert.match(vm('factory', 'refill', '--shape', 'big').err, /must be CPUSxMIB/);
});

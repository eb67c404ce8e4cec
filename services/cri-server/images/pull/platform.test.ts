import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Index, Platform } from '#contracts/oci/image.ts';
import { isSkiffError } from '#foundation/base/errors.ts';
import { choosePlatform } from './platform.ts';

const indexOf = (...platforms: string[]): Index => ({
  schemaVersion: 2,
  manifests: platforms.map((name) => {
    const [os = '', architecture = '', variant] = name.split('/');
    return {
      mediaType: 'm',
      digest: name,
      size: 1,
      platform: { os, architecture, ...(variant ? { variant } : {}) },
    };
  }),
});
const machine = (name: string): Platform => {
  const [architecture = '', variant] = name.split('/');
  return { os: 'linux', architecture, ...(variant ? { variant } : {}) };
};

const cases: [string, string[], string | undefined][] = [
  ['amd64', ['windows/amd64', 'linux/arm64', 'linux/amd64'], 'linux/amd64'],
  ['amd64', ['linux/amd64/v3', 'linux/amd64'], 'linux/amd64'],
  ['amd64', ['linux/amd64/v3'], undefined],
  ['amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
  ['arm/v7', ['linux/arm/v6', 'linux/arm/v7', 'linux/arm/v8'], 'linux/arm/v7'],
  ['arm/v7', ['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v6'],
  ['arm64/v8', ['linux/arm64'], 'linux/arm64'],
  ['arm64/v8', ['linux/arm64', 'linux/arm64/v8'], 'linux/arm64/v8'],
  ['riscv64', ['linux/amd64'], undefined],
];
for (const [wanted, offered, chosen] of cases)
  test(`${wanted} takes ${chosen ?? 'nothing'} of ${offered.join(', ')}`, () => {
    const choose = () => choosePlatform(indexOf(...offered), machine(wanted)).digest;
    if (chosen !== undefined) assert.equal(choose(), chosen);
    else
      assert.throws(
        choose,
        (error) => isSkiffError(error, 'NOT_FOUND') && error.message.includes(offered[0] ?? ''),
      );
  });

test('attestations are no images; an index of one manifest without a platform is that one', () => {
  const index = indexOf('linux/amd64');
  const [only] = index.manifests;
  if (only === undefined) throw new Error('empty');
  only.annotations = { 'vnd.docker.reference.type': 'attestation-manifest' };
  assert.throws(() => choosePlatform(index, machine('amd64')));
  assert.equal(
    choosePlatform(
      { schemaVersion: 2, manifests: [{ mediaType: 'm', digest: 'd', size: 1 }] },
      machine('amd64'),
    ).digest,
    'd',
  );
});

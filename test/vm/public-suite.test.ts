import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, type SpecReport } from './public-suite.ts';

const spec = (LeafNodeText: string, State: string, Message?: string): SpecReport => ({
  ContainerHierarchyTexts: ['area'],
  LeafNodeType: 'It',
  LeafNodeText,
  State,
  ...(Message === undefined ? {} : { Failure: { Message } }),
});

test('a report is judged: what a VM cannot be must be refused in the listed words, and nothing else may fail', () => {
  const refusal =
    'desc = the pod cannot be a VM (runtime "vm"): it uses the host\'s network; give it the plain runtime (runtimeClassName: plain)';
  const listed = 'runtime should support HostNetwork is true';
  const words = judge([
    { ...spec('', 'passed'), LeafNodeType: 'BeforeSuite' },
    spec('one', 'passed'),
    spec('two', 'failed', 'no'),
    spec('three', 'skipped', 'not here'),
    spec('four', 'timedout'),
    spec(listed, 'failed', refusal),
    spec(listed, 'failed', 'it crashed'),
    spec(listed, 'passed'),
    spec('five', 'failed', refusal),
  ]).map(({ name, word }) => `${name}: ${word}`);
  assert.deepEqual(words, [
    'area one: passed',
    'area two: failed',
    'area three: skipped',
    'area four: failed',
    `area ${listed}: refused`,
    `area ${listed}: failed`,
    `area ${listed}: failed`,
    'area five: failed',
  ]);
});

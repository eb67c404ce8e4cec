/** What is counted and told of each probe: prober_probe_total (kubelet-facts 12) and the events of probes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Pod } from '#contracts/kubernetes/types.ts';
import type { ProbeKind } from '../ports.ts';
import { createAttempt } from './attempt.ts';
import type { Outcome } from './outcome.ts';

const pod: Pod = { metadata: { name: 'web', namespace: 'shop', uid: 'u1' }, spec: { containers: [] } };
const target = { pod, container: { name: 'app' }, probe: {}, containerId: 'c1', podIp: '10.0.0.1' };

/** One attempt whose tries answer in turn; the last answer stays. */
async function attempt(kind: ProbeKind, answers: (Outcome['result'] | Error)[], signal?: AbortSignal) {
  const counted: object[] = [];
  const events: string[] = [];
  let tries = 0;
  const run = createAttempt({
    prober: async () => {
      const answer = answers[Math.min(tries++, answers.length - 1)] ?? 'success';
      if (answer instanceof Error) throw answer;
      return { result: answer, output: 'said' };
    },
    events: { pod: (_pod, type, reason, message) => events.push(`${type} ${reason} ${message}`) },
    count: (labels) => counted.push(labels),
  });
  const result = await run(target, kind, signal ?? new AbortController().signal);
  return { result, tries, counted, events };
}

const away = new Error('runtime is away');
const rows: [
  kind: ProbeKind,
  answers: (Outcome['result'] | Error)[],
  result: string | undefined,
  label: string,
  event: string | undefined,
][] = [
  ['liveness', ['success'], 'success', 'successful', undefined],
  ['readiness', ['warning'], 'success', 'successful', 'Warning ProbeWarning Readiness probe warning: said'],
  ['startup', ['failure'], 'failure', 'failed', 'Warning Unhealthy Startup probe failed: said'],
  [
    'liveness',
    [away],
    undefined,
    'unknown',
    'Warning Unhealthy Liveness probe errored and resulted in unknown state: runtime is away',
  ],
  ['readiness', [away, away, 'success'], 'success', 'successful', undefined],
  ['readiness', [away, 'failure'], 'failure', 'failed', 'Warning Unhealthy Readiness probe failed: said'],
];

for (const [kind, answers, result, label, event] of rows)
  test(`${kind} that answers ${answers.join(', ')} is counted once, as ${label}`, async () => {
    const seen = await attempt(kind, answers);
    assert.equal(seen.result, result);
    const expected = {
      probe_type: `${kind[0]?.toUpperCase()}${kind.slice(1)}`,
      result: label,
      container: 'app',
      pod: 'web',
      namespace: 'shop',
      pod_uid: 'u1',
    };
    assert.deepEqual(seen.counted, [expected]);
    assert.deepEqual(seen.events, event === undefined ? [] : [event]);
    assert.equal(seen.tries, answers[0] instanceof Error ? Math.max(answers.length, result ? 0 : 3) : 1);
  });

test('a probe that was called off is neither counted nor told of', async () => {
  const seen = await attempt('liveness', ['failure'], AbortSignal.abort());
  assert.deepEqual([seen.result, seen.counted, seen.events], [undefined, [], []]);
});

/** How long a container has to end, hook included (kubelet-facts 3): one line for each rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fakeClock } from '#foundation/base/fake-clock.ts';
import { podOf, record } from '../testing/pods.ts';
import type { RuntimeManagerDeps } from './deps.ts';
import { type KillRequest, killContainer } from './kill-container.ts';

interface Row {
  rule: string;
  /** Seconds of the pod's spec. */
  spec?: number;
  how?: Partial<KillRequest>;
  /** Seconds that the hook takes; no hook unless given. `Infinity` throws at once. */
  hook?: number;
  state?: string;
  wanted: string[];
}

const rows: Row[] = [
  { rule: 'the grace of the pod', spec: 20, wanted: ['Killing', 'stop 20'] },
  { rule: 'at least two seconds', spec: 0, wanted: ['Killing', 'stop 2'] },
  { rule: 'two also where one was asked for', how: { graceOverride: 1 }, wanted: ['Killing', 'stop 2'] },
  { rule: 'the hook’s time is part of it', spec: 20, hook: 5, wanted: ['Killing', 'hook', 'stop 15'] },
  {
    rule: 'what the hook leaves is two seconds at least',
    spec: 20,
    hook: 19.5,
    wanted: ['Killing', 'hook', 'stop 2'],
  },
  { rule: 'no hook without grace', how: { graceOverride: 0 }, hook: 5, wanted: ['Killing', 'stop 2'] },
  { rule: 'no hook with less than none', how: { graceOverride: -1 }, hook: 5, wanted: ['Killing', 'stop 2'] },
  {
    rule: 'a grace of a year, hook and all',
    spec: 31_536_000,
    hook: 5,
    wanted: ['Killing', 'hook', 'stop 31535995'],
  },
  {
    rule: 'no hook in a container that does not run',
    spec: 9,
    hook: 5,
    state: 'unknown',
    wanted: ['Killing', 'stop 9'],
  },
  {
    rule: 'a hook that fails is told and keeps nothing alive',
    spec: 9,
    hook: Number.POSITIVE_INFINITY,
    wanted: ['Killing', 'hook', 'FailedPreStopHook', 'stop 9'],
  },
];

for (const { rule, spec, how, hook, state = 'running', wanted } of rows)
  test(`the end of a container: ${rule}`, async () => {
    const clock = fakeClock();
    const said: string[] = [];
    const deps = {
      clock,
      requestTimeoutMs: 1000,
      events: { pod: (_pod: unknown, _type: string, reason: string) => said.push(reason) },
      hooks: {
        async preStop() {
          said.push('hook');
          if (hook === Number.POSITIVE_INFINITY) throw new Error('the hook fails');
          await clock.advance((hook ?? 0) * 1000);
        },
      },
      runtime: { stopContainer: async ({ timeout }: { timeout: bigint }) => said.push(`stop ${timeout}`) },
    } as unknown as RuntimeManagerDeps;
    const lifecycle = hook === undefined ? undefined : { preStop: { exec: { command: ['x'] } } };
    await killContainer(deps, {
      pod: podOf(spec === undefined ? {} : { terminationGracePeriodSeconds: spec }),
      record: record(`a ${state}`),
      container: { name: 'a', image: 'img', lifecycle },
      podIps: [],
      message: 'm',
      reason: 'other',
      signal: new AbortController().signal,
      ...how,
    });
    assert.deepEqual(said, wanted);
  });

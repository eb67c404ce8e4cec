/** Runs tables of what is done for a pod: one line for each rule. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container, Pod, ResourceRequirements } from '#contracts/kubernetes/types.ts';
import type { ProbeResult } from '../ports.ts';
import { computeActions, type PodActions } from '../runtime-manager/actions.ts';
import type { RuntimePodStatus } from '../runtime-manager/model.ts';

/** One rule. */
export interface Row {
  rule: string;
  pod: Pod;
  has: RuntimePodStatus;
  /** `liveness id-a` to its result. */
  probes?: Record<string, ProbeResult>;
  actuated?: Record<string, ResourceRequirements>;
  /** The actions in words: `kill-pod sandbox#1 kill:a init:i start:a,b`. */
  does: string;
}

/** A container with the image that `record` has. */
export const c = (name: string, more: Partial<Container> = {}): Container => ({
  name,
  image: 'img',
  ...more,
});
export const sidecar = (name: string, more: Partial<Container> = {}) =>
  c(name, { restartPolicy: 'Always', ...more });

function words(actions: PodActions): string {
  const names = (list: { name: string }[]) => list.map(({ name }) => name).join(',');
  return [
    actions.restartAll === undefined ? '' : 'restart-all',
    actions.killPod ? 'kill-pod' : '',
    actions.createSandbox ? `sandbox#${actions.attempt}` : '',
    actions.kill.length > 0 ? `kill:${names(actions.kill.map((each) => each.record))}` : '',
    actions.startEphemeral.length > 0 ? `ephemeral:${names(actions.startEphemeral)}` : '',
    actions.startInit.length > 0 ? `init:${names(actions.startInit)}` : '',
    actions.start.length > 0 ? `start:${names(actions.start)}` : '',
    actions.resize.length > 0 ? `resize:${names(actions.resize.map((each) => each.container))}` : '',
  ]
    .filter((word) => word !== '')
    .join(' ');
}

/** Makes a test of each row. */
export function testRows(rows: readonly Row[]): void {
  for (const row of rows) {
    test(`actions: ${row.rule}`, () => {
      const actions = computeActions(row.pod, row.has, {
        result: (kind, id) => row.probes?.[`${kind} ${id}`],
        actuated: (_, container) => row.actuated?.[container],
      });
      assert.equal(words(actions), row.does);
    });
  }
}

/**
 * Checks objects as the original API server does, with its field paths and words. `validateCreate` and
 * `validateUpdate` are the entries; objects come with their defaults filled in.
 */
import type { KindInfo } from '../kinds.ts';
import type { KubeObject } from '../types.ts';
import { checkEvent, checkNewEvent } from './events.ts';
import { checkMeta, checkMetaUpdate } from './meta.ts';
import {
  checkClaimUpdate,
  checkConfigMap,
  checkDataUpdate,
  checkLease,
  checkNode,
  checkPersistentVolume,
  checkPersistentVolumeClaim,
  checkPriorityClass,
  checkPriorityUpdate,
  checkRuntimeClass,
  checkSecret,
  checkService,
  checkServiceUpdate,
} from './others.ts';
import { checkNewPod } from './pod/pod.ts';
import { checkPodUpdate } from './pod/update.ts';
import { createProblems, type FieldProblem, type Problems } from './problems.ts';

interface Rules {
  create?(object: never, problems: Problems): void;
  /** Instead of `create`, where an update has rules of its own; else `create` runs on updates, too. */
  update?(now: never, before: never, problems: Problems): void;
  /** Runs beside `create` on updates. */
  change?(now: never, before: never, problems: Problems): void;
  /** Runs before anything else needs it. */
  needs?: readonly string[];
}

/** By the kind's model. */
const rules: Record<string, Rules | undefined> = {
  Pod: { create: checkNewPod, update: checkPodUpdate, needs: ['spec'] },
  ConfigMap: { create: checkConfigMap, change: checkDataUpdate },
  Secret: { create: checkSecret, change: checkDataUpdate },
  Service: { create: checkService, change: checkServiceUpdate, needs: ['spec'] },
  Node: { create: checkNode },
  Lease: { create: checkLease },
  PersistentVolume: { create: checkPersistentVolume, needs: ['spec'] },
  PersistentVolumeClaim: { create: checkPersistentVolumeClaim, change: checkClaimUpdate, needs: ['spec'] },
  RuntimeClass: { create: checkRuntimeClass },
  PriorityClass: { create: checkPriorityClass, change: checkPriorityUpdate },
  Event: { create: checkEvent },
  // Those of old, which the core group made, may be changed here.
  EventsEvent: { create: checkNewEvent, update: () => {} },
};

/** What is wrong with a new object; empty for nothing. */
export function validateCreate(kind: KindInfo, object: KubeObject): FieldProblem[] {
  const problems = createProblems();
  checkMeta(kind, object.metadata, problems);
  if (hasNeeds(kind, object, problems)) rules[kind.model]?.create?.(object as never, problems);
  return problems.list;
}

/** What is wrong with an object that replaces another. */
export function validateUpdate(kind: KindInfo, now: KubeObject, before: KubeObject): FieldProblem[] {
  const problems = createProblems();
  checkMetaUpdate(kind, now.metadata, before.metadata, problems);
  if (!hasNeeds(kind, now, problems)) return problems.list;
  const { create, update, change } = rules[kind.model] ?? {};
  if (update !== undefined) update(now as never, before as never, problems);
  else create?.(now as never, problems);
  change?.(now as never, before as never, problems);
  return problems.list;
}

/** What is wrong with the metadata of an object whose subresource is updated. */
export function validateMetaUpdate(kind: KindInfo, now: KubeObject, before: KubeObject): FieldProblem[] {
  const problems = createProblems();
  checkMetaUpdate(kind, now.metadata, before.metadata, problems);
  return problems.list;
}

function hasNeeds(kind: KindInfo, object: KubeObject, problems: Problems): boolean {
  const missing = (rules[kind.model]?.needs ?? []).filter((field) => !(field in object));
  for (const field of missing) problems.required(field);
  return missing.length === 0;
}

/**
 * Brings the objects of manifests into the API: new ones are created, changed ones replaced, the same left
 * alone. Pods are immutable, so a changed one is ended and made anew.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiClient, hasReason } from '#contracts/kubernetes/client/client.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import { deletePod } from '../node/pods.ts';
import { collectionOf, type Manifest, pathOf } from './manifests.ts';

/** The label on everything that `skiff up` made. */
export const managedLabel = { key: 'app.kubernetes.io/managed-by', value: 'skiff-up' } as const;

/** The annotation with the digest of the manifest that an object was made from. */
const digestAnnotation = 'skiff.dev/manifest-digest';

/** What became of an object. */
export type Outcome = 'created' | 'configured' | 'unchanged' | 'replaced';

/** Applies one object. @throws SkiffError with the API's words if it refuses. */
export async function applyObject(api: ApiClient, manifest: Manifest, signal: AbortSignal): Promise<Outcome> {
  const wanted = marked(manifest);
  try {
    await api.create(collectionOf(wanted), wanted, { signal });
    return 'created';
  } catch (error) {
    if (!hasReason(error, 'AlreadyExists')) throw named(error, manifest);
  }
  const existing = await api.get<Manifest>(pathOf(wanted), { signal });
  const same =
    existing.metadata.annotations?.[digestAnnotation] === wanted.metadata.annotations?.[digestAnnotation];
  if (manifest.kind === 'Pod') return replacePod(api, wanted, existing as Pod & Manifest, same, signal);
  if (same) return 'unchanged';
  await api.patch(pathOf(wanted), 'merge-patch', wanted, { signal });
  return 'configured';
}

function marked(manifest: Manifest): Manifest {
  const digest = createHash('sha256').update(JSON.stringify(manifest)).digest('hex').slice(0, 16);
  return {
    ...manifest,
    metadata: {
      ...manifest.metadata,
      namespace: manifest.metadata.namespace ?? 'default',
      labels: { ...manifest.metadata.labels, [managedLabel.key]: managedLabel.value },
      annotations: { ...manifest.metadata.annotations, [digestAnnotation]: digest },
    },
  };
}

function named(error: unknown, manifest: Manifest): unknown {
  if (!isSkiffError(error)) return error;
  return new SkiffError(error.code, `${manifest.kind} "${manifest.metadata.name}": ${error.message}`, {
    cause: error,
  });
}

const ended = new Set(['Succeeded', 'Failed']);

async function replacePod(
  api: ApiClient,
  wanted: Manifest,
  existing: Pod & Manifest,
  same: boolean,
  signal: AbortSignal,
): Promise<Outcome> {
  const goingOn =
    !ended.has(existing.status?.phase ?? '') && existing.metadata.deletionTimestamp === undefined;
  if (same && goingOn) return 'unchanged';
  if (existing.metadata.labels?.[managedLabel.key] !== managedLabel.value) {
    const message = `a pod "${existing.metadata.name}" exists that \`skiff up\` did not make: end it first, or rename yours`;
    throw new SkiffError('ALREADY_EXISTS', message);
  }
  await deletePod(api, existing, undefined);
  await untilGone(api, pathOf(wanted), signal);
  await api.create(collectionOf(wanted), wanted, { signal });
  return 'replaced';
}

/** Waits until the API has no such object. */
export async function untilGone(api: ApiClient, path: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      await api.get(path, { signal });
    } catch (error) {
      if (isSkiffError(error, 'NOT_FOUND')) return;
      throw error;
    }
    await sleep(50);
  }
}

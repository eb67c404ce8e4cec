/**
 * What makes a manifest a static pod: its UID, its name with the node's, its annotations; and what it may not
 * use, since nobody vouches for it at an API server (kubelet-facts 1).
 */
import { createHash } from 'node:crypto';
import type { Pod, Toleration } from '#contracts/kubernetes/types.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { hashAnnotation } from '../pods/identity.ts';

/** Where a manifest was read. */
export type Origin = { source: 'file'; path: string } | { source: 'http'; url: string };

/**
 * Completes a decoded and defaulted manifest.
 *
 * @throws SkiffError INVALID_ARGUMENT if it refers to objects of the API.
 */
export function toStaticPod(decoded: Pod, nodeName: string, origin: Origin): Pod {
  const pod = structuredClone(decoded);
  refuseApiReferences(pod);
  const uid = pod.metadata.uid || staticUid(pod, nodeName, origin);
  const node = nodeName.toLowerCase();
  pod.metadata = {
    ...pod.metadata,
    uid,
    name: `${pod.metadata.name}-${node}`,
    namespace: pod.metadata.namespace || 'default',
    annotations: { ...pod.metadata.annotations, [hashAnnotation]: uid },
  };
  pod.spec = { ...pod.spec, nodeName };
  if (origin.source === 'file') pod.spec.tolerations = withNoExecute(pod.spec.tolerations ?? []);
  pod.status = { phase: 'Pending' };
  return pod;
}

/** 32 hex digits that change with the manifest, the node and the place: an edited file is another pod. */
function staticUid(pod: Pod, nodeName: string, origin: Origin): string {
  const place = origin.source === 'file' ? `host:${nodeName}file:${origin.path}` : `url:${origin.url}`;
  return createHash('md5').update(JSON.stringify(pod)).update(place).digest('hex');
}

/** A static pod is not moved by taints. */
function withNoExecute(tolerations: Toleration[]): Toleration[] {
  const has = tolerations.some(
    (each) => each.operator === 'Exists' && each.effect === 'NoExecute' && !each.key,
  );
  return has ? tolerations : [...tolerations, { operator: 'Exists', effect: 'NoExecute' }];
}

/** @throws SkiffError naming the field. */
function refuseApiReferences(pod: Pod): void {
  const refuse = (field: string, what: string) => {
    const message = `Cannot use static pod "${pod.metadata.name}": ${field}: static pods may not reference ${what}`;
    throw new SkiffError('INVALID_ARGUMENT', message);
  };
  const { spec } = pod;
  if (spec.serviceAccountName || spec.serviceAccount) refuse('spec.serviceAccountName', 'service accounts');
  if (spec.imagePullSecrets?.some(({ name }) => name)) refuse('spec.imagePullSecrets', 'secrets');
  if (spec.resourceClaims?.length) refuse('spec.resourceClaims', 'resource claims');
  if (spec.ephemeralContainers?.length) refuse('spec.ephemeralContainers', 'ephemeral containers');
  for (const [index, volume] of (spec.volumes ?? []).entries()) {
    const at = `spec.volumes[${index}]`;
    if (volume.secret) refuse(`${at}.secret`, 'secrets');
    if (volume.configMap) refuse(`${at}.configMap`, 'configmaps');
    if (volume.persistentVolumeClaim) refuse(`${at}.persistentVolumeClaim`, 'persistentvolumeclaims');
    if (volume.csi) refuse(`${at}.csi`, 'CSI drivers');
    if (volume.ephemeral) refuse(`${at}.ephemeral`, 'persistentvolumeclaims');
    const projected = volume.projected?.sources?.findIndex((source) => !source.downwardAPI) ?? -1;
    if (projected >= 0) refuse(`${at}.projected.sources[${projected}]`, 'objects of the API');
  }
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  for (const container of containers) {
    const at = `spec.containers{${container.name}}`;
    for (const { name, valueFrom } of container.env ?? []) {
      if (valueFrom?.configMapKeyRef) refuse(`${at}.env{${name}}`, 'configmaps');
      if (valueFrom?.secretKeyRef) refuse(`${at}.env{${name}}`, 'secrets');
    }
    for (const from of container.envFrom ?? []) {
      if (from.configMapRef) refuse(`${at}.envFrom`, 'configmaps');
      if (from.secretRef) refuse(`${at}.envFrom`, 'secrets');
    }
  }
}

/** What a node may make: itself, its lease, and mirror pods of its own. The part of NodeRestriction that needs the object. */
import type { KindInfo } from '#contracts/kubernetes/kinds.ts';
import type { KubeObject, Pod } from '#contracts/kubernetes/types.ts';
import type { User } from '../http/request.ts';
import { forbidden } from '../http/status.ts';
import { nodeOf } from './node-rules.ts';

/** The annotation of a mirror pod. */
const mirrorAnnotation = 'kubernetes.io/config.mirror';

/** Checks a new object of a node. @throws StatusError 403. */
export function admitFromNode(kind: KindInfo, object: KubeObject, user: User): void {
  const node = nodeOf(user);
  if (node === undefined) return;
  const name = object.metadata.name ?? '';
  const own = ['Node', 'CSINode', 'Lease'].includes(kind.kind);
  if (own && name !== node)
    throw forbidden(kind, name, `node "${node}" is not allowed to create ${kind.kind} "${name}"`);
  if (kind.kind !== 'Pod') return;
  const { metadata, spec } = object as Pod;
  if (metadata.annotations?.[mirrorAnnotation] === undefined)
    throw forbidden(
      kind,
      name,
      `pod does not have "${mirrorAnnotation}" annotation, node "${node}" can only create mirror pods`,
    );
  if (spec?.nodeName !== node)
    throw forbidden(kind, name, `node "${node}" can only create pods with spec.nodeName set to itself`);
  if (spec.serviceAccountName)
    throw forbidden(kind, name, `node "${node}" can not create pods that reference a service account`);
}

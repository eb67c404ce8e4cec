/** The projected volume with a service account's token, as the original's admission adds it. */
import { generateName } from '#contracts/kubernetes/meta.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';

const mountPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** Seconds: an hour and what the kubelet needs to renew it. */
const expirationSeconds = 3607;

/** Mounts the token into every container that mounts nothing else there. */
export function mountToken({ spec }: Pod): void {
  const name = generateName('kube-api-access-');
  const containers = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  const without = containers.filter(
    (each) => !each.volumeMounts?.some((mount) => mount.mountPath === mountPath),
  );
  if (without.length === 0) return;
  for (const container of without) {
    container.volumeMounts ??= [];
    container.volumeMounts.push({ name, mountPath, readOnly: true });
  }
  spec.volumes ??= [];
  spec.volumes.push({
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  });
}

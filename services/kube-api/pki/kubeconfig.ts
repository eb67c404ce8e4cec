/** Writes kubeconfig files. https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ */
import { existsSync, readFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { KeyPair } from './authority.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Writes a kubeconfig for one user, 0600; left alone if it says the same already. */
export function writeKubeconfig(path: string, server: string, ca: string, user: string, pair: KeyPair): void {
  const text = stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'skiff', cluster: { server, 'certificate-authority-data': base64(ca) } }],
      users: [
        {
          name: user,
          user: { 'client-certificate-data': base64(pair.cert), 'client-key-data': base64(pair.key) },
        },
      ],
      contexts: [{ name: 'skiff', context: { cluster: 'skiff', user } }],
      'current-context': 'skiff',
    },
    { lineWidth: 0 },
  );
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  replaceFileSync(path, text, { mode: 0o600 });
}

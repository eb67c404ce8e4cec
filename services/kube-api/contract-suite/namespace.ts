/** Gives a case a namespace of its own and takes it away afterwards. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { type connect, createSession, expectStatus, type Session } from './client.ts';

/** Runs `work` in a new namespace. */
export async function inNamespace(
  server: ReturnType<typeof connect>,
  work: (session: Session) => Promise<void>,
): Promise<void> {
  const name = `contract-${randomBytes(4).toString('hex')}`;
  const session = createSession(server, name);
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
  expectStatus(await session.post('/api/v1/namespaces', namespace), 201);
  try {
    await untilAccount(session);
    await work(session);
  } finally {
    await session.delete(`/api/v1/namespaces/${name}`);
  }
}

/** Pods need the namespace's service account, which comes a moment later. */
async function untilAccount(session: Session): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    if ((await session.get(session.path('serviceaccounts', 'default'))).status === 200) return;
    await sleep(20);
  }
}

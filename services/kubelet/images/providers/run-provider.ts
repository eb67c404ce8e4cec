/**
 * Runs one credential provider: the image goes to its standard input as a CredentialProviderRequest, the answer comes
 * from its standard output (credentialprovider.kubelet.k8s.io).
 */
import { join } from 'node:path';
import { z } from 'zod';
import { SkiffError } from '#foundation/base/errors.ts';
import { runCommand } from '#foundation/linux/command.ts';
import { duration } from '../../configuration/fields.ts';
import type { ProviderConfig } from './config.ts';

/** Milliseconds that a program may take: the original's. */
const runMs = 60_000;

/** What is asked. */
export interface ProviderRequest {
  /** The image without tag and digest. */
  image: string;
  serviceAccountToken?: string;
  serviceAccountAnnotations?: Record<string, string>;
}

const login = z.object({ username: z.string().default(''), password: z.string().default('') });

const response = z.object({
  apiVersion: z.string(),
  kind: z.literal('CredentialProviderResponse'),
  cacheKeyType: z.enum(['Image', 'Registry', 'Global']),
  cacheDuration: duration.nullable().optional(),
  auth: z.record(z.string(), login).nullable().default({}),
});

/** What a provider answers. */
export type ProviderResponse = z.infer<typeof response>;

/** Asks a provider. @throws SkiffError saying which program failed and how. */
export async function runProvider(
  provider: ProviderConfig,
  binaryDirectory: string,
  request: ProviderRequest,
): Promise<ProviderResponse> {
  const { apiVersion, name, args, env } = provider;
  const { stdout } = await runCommand({
    file: join(binaryDirectory, name),
    args,
    cwd: binaryDirectory,
    env: { ...process.env, ...Object.fromEntries(env.map((each) => [each.name, each.value])) },
    input: JSON.stringify({ apiVersion, kind: 'CredentialProviderRequest', ...request }),
    timeoutMs: runMs,
  });
  const answer = response.safeParse(parsed(name, stdout.toString()));
  if (!answer.success)
    throw new SkiffError(
      'INTERNAL',
      `credential provider "${name}" answered what is no CredentialProviderResponse: ${z.prettifyError(answer.error)}`,
    );
  if (answer.data.apiVersion === apiVersion) return answer.data;
  throw new SkiffError(
    'INTERNAL',
    `credential provider "${name}" answered with apiVersion ${answer.data.apiVersion}, not ${apiVersion}`,
  );
}

function parsed(name: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The text may hold secrets, and the error, which logs would show as a cause, quotes it.
    throw new SkiffError('INTERNAL', `credential provider "${name}" answered what is not JSON`);
  }
}

/**
 * CredentialProviderConfig (kubelet.config.k8s.io/v1): which programs are asked for credentials of which images. A file,
 * or a directory whose `*.yaml`, `*.yml` and `*.json` files are read in the order of their names.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { parseConfig } from '#foundation/base/config.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { duration } from '../../configuration/fields.ts';

const group = 'credentialprovider.kubelet.k8s.io';

const tokenAttributes = z.strictObject({
  serviceAccountTokenAudience: z.string().min(1, 'must name an audience'),
  /** What an answer may be kept for: this very token, or every pod of the service account. */
  cacheType: z.enum(['Token', 'ServiceAccount']),
  requireServiceAccount: z.boolean(),
  requiredServiceAccountAnnotationKeys: z.array(z.string()).default([]),
  optionalServiceAccountAnnotationKeys: z.array(z.string()).default([]),
});

const provider = z.strictObject({
  /** The name of the program in the binary directory. */
  name: z
    .string()
    .regex(/^[^/\s]+$/, 'must be a file name without spaces and slashes')
    .refine((name) => name !== '.' && name !== '..', 'must be the name of a file'),
  matchImages: z.array(z.string().min(1)).min(1, 'must name at least one image pattern'),
  /** How long answers are kept that do not say themselves. */
  defaultCacheDuration: duration.refine((text) => !text.startsWith('-'), 'must not be negative'),
  apiVersion: z.enum([`${group}/v1`, `${group}/v1beta1`, `${group}/v1alpha1`]),
  args: z.array(z.string()).default([]),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })).default([]),
  tokenAttributes: tokenAttributes.optional(),
});

const schema = z.strictObject({
  apiVersion: z.enum([
    'kubelet.config.k8s.io/v1',
    'kubelet.config.k8s.io/v1beta1',
    'kubelet.config.k8s.io/v1alpha1',
  ]),
  kind: z.literal('CredentialProviderConfig'),
  providers: z.array(provider).min(1, 'must list at least one provider'),
});

/** One program. */
export type ProviderConfig = z.infer<typeof provider>;

/**
 * Reads the configuration at `path`.
 *
 * @param binaryDirectory where the programs are: each must be there.
 * @throws SkiffError INVALID_ARGUMENT with the place of what is wrong, NOT_FOUND for a program that is missing.
 */
export function loadProviders(path: string, binaryDirectory: string): ProviderConfig[] {
  const providers = filesOf(path).flatMap((file) => parseConfig(schema, readText(file), file).providers);
  const seen = new Set<string>();
  for (const { name, tokenAttributes: token, apiVersion } of providers) {
    if (seen.has(name))
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `${path}: the credential provider "${name}" is configured twice`,
      );
    seen.add(name);
    if (token !== undefined && apiVersion !== `${group}/v1`)
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `${path}: ${name}: tokenAttributes need apiVersion ${group}/v1`,
      );
    if (
      token !== undefined &&
      !token.requireServiceAccount &&
      token.requiredServiceAccountAnnotationKeys.length > 0
    )
      throw new SkiffError(
        'INVALID_ARGUMENT',
        `${path}: ${name}: requiredServiceAccountAnnotationKeys need requireServiceAccount: true`,
      );
    if (!existsSync(join(binaryDirectory, name)))
      throw new SkiffError(
        'NOT_FOUND',
        `${path}: there is no credential provider "${join(binaryDirectory, name)}"`,
      );
  }
  return providers;
}

function filesOf(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path];
    const names = readdirSync(path).filter((name) => /\.(yaml|yml|json)$/.test(name));
    return names.sort().map((name) => join(path, name));
  } catch (error) {
    throw wrapError(error, `Cannot read the credential providers "${path}"`);
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw wrapError(error, `Cannot read the credential providers "${path}"`);
  }
}

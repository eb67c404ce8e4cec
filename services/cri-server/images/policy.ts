/**
 * Which images may be pulled, by containers-policy.json(5), read anew for each pull. `insecureAcceptAnything` and
 * `reject` are done as they say. A policy that demands a signature is one that Skiff cannot check, so that it refuses
 * what such a policy is for: accepting it would be the opposite of what the administrator wrote.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { formatReference, formatRepository, type Reference } from './reference.ts';

/** The prefix by which the kubelet tells that a policy is against an image (its ErrSignatureValidationFailed). */
export const signatureValidationFailed = 'SignatureValidationFailed';

/** Judges images before they are pulled. */
export interface ImagePolicy {
  /**
   * @throws SkiffError PERMISSION_DENIED that begins with `SignatureValidationFailed` if the policy is against it, or
   *   demands a signature; FAILED_PRECONDITION if the policy is malformed.
   */
  check(reference: Reference): Promise<void>;
}

const requirements = z.array(z.looseObject({ type: z.string() })).min(1);
const policyFile = z.strictObject({
  default: requirements,
  transports: z.record(z.string(), z.record(z.string(), requirements)).optional(),
});
type Policy = z.infer<typeof policyFile>;

/**
 * Opens the policy of a file.
 *
 * @param path where none is, everything is accepted.
 */
export function openPolicy(path: string): ImagePolicy {
  return {
    check: async (reference) => {
      const policy = await readPolicy(path);
      if (policy === undefined) return;
      const { scope, found } = requirementsFor(policy, reference);
      for (const { type } of found) {
        if (type === 'insecureAcceptAnything') continue;
        throw refused(path, scope, type, reference);
      }
    },
  };
}

/** The policy of a machine without one. */
export const acceptEverything: ImagePolicy = { check: async () => {} };

async function readPolicy(path: string): Promise<Policy | undefined> {
  let content: unknown;
  try {
    content = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw broken(path, messageOf(error));
  }
  const parsed = policyFile.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw broken(path, `${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'invalid'}`);
}

/** The narrowest scope of the transport `docker` that holds the image counts, and none beside it. */
function requirementsFor(policy: Policy, reference: Reference) {
  const scopes = policy.transports?.docker ?? {};
  for (const scope of [...scopesOf(reference), '']) {
    const found = Object.hasOwn(scopes, scope) ? scopes[scope] : undefined;
    if (found !== undefined) return { scope: scope === '' ? 'every registry' : `"${scope}"`, found };
  }
  return { scope: 'default', found: policy.default };
}

/** From the image itself over its repository, the folders above and the registry to wildcards of its domain. */
function scopesOf(reference: Reference): string[] {
  const { tag, digest, domain, path } = reference;
  const whole = formatReference(digest === undefined ? reference : { domain, path, digest });
  const scopes = tag === undefined && digest === undefined ? [] : [whole];
  for (let name = formatRepository(reference); name !== domain; name = name.slice(0, name.lastIndexOf('/')))
    scopes.push(name);
  scopes.push(domain);
  // A wildcard stands for subdomains, and says no port.
  const labels = domain.replace(/:\d+$/, '').split('.');
  for (let at = 1; at < labels.length; at += 1) scopes.push(`*.${labels.slice(at).join('.')}`);
  return scopes;
}

function refused(path: string, scope: string, type: string, reference: Reference): SkiffError {
  const why =
    type === 'reject'
      ? `${path} rejects it (scope ${scope})`
      : `${path} demands "${type}" of it (scope ${scope}), and Skiff verifies no signatures; allow it there with "insecureAcceptAnything", or name another policy by cri.signaturePolicy`;
  return new SkiffError(
    'PERMISSION_DENIED',
    `${signatureValidationFailed}: cannot pull ${formatReference(reference)}: ${why}`,
  );
}

function broken(path: string, why: string): SkiffError {
  return new SkiffError('FAILED_PRECONDITION', `Invalid signature policy ${path}: ${why}`);
}

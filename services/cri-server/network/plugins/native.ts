/**
 * Plugins that run in this process. Each does what the CNI project's plugin of its type does, with the same
 * result and the same state on disk and in the kernel, but by system call; a test compares the two.
 */
import { z } from 'zod';
import { SkiffError } from '#foundation/base/errors.ts';
import type { CniResult, PluginCall } from '../cni/types.ts';

/** A plugin in this process. */
export interface NativePlugin {
  /** Whether this configuration has only keys that are served here; the plugin is executed otherwise. */
  supports(config: PluginCall['config']): boolean;
  add(call: PluginCall, signal: AbortSignal): Promise<CniResult>;
  /** Repeating it, and deleting what was never added, is success. */
  delete(call: PluginCall, signal: AbortSignal): Promise<void>;
  /** @throws SkiffError if the network is not as ADD left it. */
  check(call: PluginCall): Promise<void>;
  /** Releases what belongs to none of the attachments of the config's `cni.dev/valid-attachments`. */
  collect?(call: PluginCall): Promise<void>;
}

/** What every plugin's config has besides its own keys: put there by the chain, or of no effect on the host. */
export const commonKeys = {
  type: z.string(),
  name: z.string(),
  cniVersion: z.string(),
  prevResult: z.unknown().optional(),
  'cni.dev/valid-attachments': z.unknown().optional(),
};

/** A config that `supports` has judged. @throws SkiffError INVALID_ARGUMENT with the key that is wrong. */
export function parseOwn<T>(schema: z.ZodType<T>, config: PluginCall['config']): T {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `CNI plugin "${config.type}" of network "${config.name}": ${issue?.path.join('.')}: ${issue?.message}`,
  );
}

/** The result of the plugin before. @throws SkiffError INVALID_ARGUMENT for a plugin that cannot be the first. */
export function previousResult({ config }: PluginCall): CniResult {
  if (config.prevResult !== undefined) return config.prevResult;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    `CNI plugin "${config.type}" must follow another plugin in its list`,
  );
}

/** The error of a CHECK. */
export function differs({ config, ifName }: PluginCall, what: string): SkiffError {
  return new SkiffError(
    'FAILED_PRECONDITION',
    `Network "${config.name}" of interface ${ifName} was changed: ${what}`,
  );
}

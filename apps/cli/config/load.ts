/** Reads Skiff's configuration. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '#foundation/base/config.ts';
import { wrapError } from '#foundation/base/errors.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { type Config, configSchema } from './schema.ts';

/**
 * Reads `path`, or `<etc>/config.yaml` if that exists, else takes the defaults.
 *
 * @throws SkiffError INVALID_ARGUMENT with the places of everything wrong in it.
 */
export function loadConfig(paths: Paths, path?: string): Config {
  const standard = join(paths.etc, 'config.yaml');
  const file = path ?? (existsSync(standard) ? standard : undefined);
  if (file === undefined) return configSchema.parse({});
  return parseConfig(configSchema, readText(file), file);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw wrapError(error, `Cannot read the configuration ${file}`);
  }
}

/**
 * Reads a KubeletConfiguration: one file, then the `*.conf` files of a drop-in directory in the order of their names,
 * each field of a later file replacing that of an earlier one (maps and nested objects are merged, lists replaced).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseConfig } from '#foundation/base/config.ts';
import { SkiffError, wrapError } from '#foundation/base/errors.ts';
import { type KubeletConfiguration, withDefaults } from './defaults.ts';
import { type KubeletFields, kubeletConfigurationSchema } from './schema.ts';
import { validate } from './validate.ts';

/** Where configurations come from. */
export interface ConfigurationPlaces {
  /** The main file; undefined for none. */
  file?: string;
  /** The drop-in directory; undefined for none. */
  directory?: string;
  /** Fields that win over every file: flags. */
  overrides?: KubeletFields;
  /**
   * Without a file the original keeps its values of old: anybody may do anything on port 10250, and nothing is
   * evicted. Skiff is safe unless this is true.
   */
  legacyWithoutFile?: boolean;
}

/**
 * Loads and checks a configuration.
 *
 * @throws SkiffError INVALID_ARGUMENT with `FILE:LINE:COLUMN: FIELD: REASON` for each problem of a file, NOT_FOUND for
 *   a file that is not there.
 */
export function loadConfiguration(places: ConfigurationPlaces): KubeletConfiguration {
  const files = [...(places.file === undefined ? [] : [places.file]), ...dropIns(places.directory)];
  const stated = files.map(readOne).reduce(mergeFields, {});
  const legacy = files.length === 0 && places.legacyWithoutFile === true;
  const configuration = withDefaults(mergeFields(stated, places.overrides ?? {}), !legacy);
  const problems = validate(configuration);
  if (problems.length === 0) return configuration;
  const where = files.length > 0 ? files.join(', ') : 'the configuration';
  throw new SkiffError('INVALID_ARGUMENT', problems.map((problem) => `${where}: ${problem}`).join('\n'));
}

function dropIns(directory: string | undefined): string[] {
  if (directory === undefined) return [];
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.conf'));
    return names.sort().map((name) => join(directory, name));
  } catch (error) {
    throw wrapError(error, `Cannot read the directory of configurations "${directory}"`);
  }
}

function readOne(path: string): KubeletFields {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw wrapError(error, `Cannot read the configuration "${path}"`);
  }
  const {
    apiVersion: _version,
    kind: _kind,
    ...fields
  } = parseConfig(kubeletConfigurationSchema, text, path);
  return fields;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mergeFields(base: KubeletFields, over: KubeletFields): KubeletFields {
  return mergeObjects(base as Record<string, unknown>, over as Record<string, unknown>) as KubeletFields;
}

function mergeObjects(base: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const merged = { ...base };
  for (const [key, value] of Object.entries(over)) {
    if (value === undefined) continue;
    const before = merged[key];
    merged[key] = isPlainObject(before) && isPlainObject(value) ? mergeObjects(before, value) : value;
  }
  return merged;
}

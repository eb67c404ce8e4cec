/** Reads CNI configuration: the first valid list of a directory, in the order of file names (CNI spec, section 1). */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import { type ConfigList, cniVersions } from './types.ts';

const pluginSchema = z.looseObject({
  type: z.string().min(1),
  capabilities: z.record(z.string(), z.boolean()).optional(),
});

/** A network's name is a part of file names: letters, digits, `_`, `.` and `-` only, as the spec says. */
const name = z.string().regex(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/, 'is not a valid network name');

const listSchema = z.object({
  cniVersion: z.string().default('0.3.1'),
  cniVersions: z.array(z.string()).optional(),
  name,
  disableCheck: z.union([z.boolean(), z.stringbool()]).optional(),
  disableGC: z.union([z.boolean(), z.stringbool()]).optional(),
  plugins: z.array(pluginSchema).min(1, 'names no plugin'),
});

/** What a directory holds. */
export interface ConfigDirectory {
  /** The list in force; left out if there is none. */
  list?: ConfigList;
  /** The file it comes from. */
  file?: string;
  /** Why earlier files were passed over, or why there is no list. */
  problems: string[];
}

/** Reads a directory of `.conflist`, `.conf` and `.json` files; never throws. */
export function readConfigDirectory(directory: string): ConfigDirectory {
  const problems: string[] = [];
  let names: string[];
  try {
    names = readdirSync(directory).filter((file) => /\.(conflist|conf|json)$/.test(file));
  } catch (error) {
    const why = errnoOf(error) === 'ENOENT' ? 'it does not exist' : messageOf(error);
    return { problems: [`Cannot read the CNI configuration directory ${directory}: ${why}`] };
  }
  for (const file of names.sort().map((entry) => join(directory, entry))) {
    try {
      return { list: parseConfig(readFileSync(file, 'utf8'), file), file, problems };
    } catch (error) {
      problems.push(messageOf(error));
    }
  }
  if (names.length === 0) problems.push(`No CNI configuration in ${directory}; put a .conflist file there`);
  return { problems };
}

/**
 * Parses one file: a list, or a single plugin's configuration, which is a list of one.
 *
 * @throws SkiffError INVALID_ARGUMENT with the file, the field and the reason.
 */
export function parseConfig(text: string, file: string): ConfigList {
  const fail = (why: string) => new SkiffError('INVALID_ARGUMENT', `CNI configuration ${file}: ${why}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw fail(messageOf(error));
  }
  if (typeof value !== 'object' || value === null) throw fail('it is not a JSON object');
  const parsed = listSchema.safeParse('plugins' in value ? value : listOfOne(value));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw fail(`${issue?.path.join('.') ?? ''} ${issue?.message ?? 'invalid'}`.trim());
  }
  const { cniVersions: offered, ...list } = parsed.data;
  const cniVersion = chooseVersion([list.cniVersion, ...(offered ?? [])]);
  if (cniVersion === undefined)
    throw fail(`cniVersion "${list.cniVersion}" is not supported; use one of ${cniVersions.join(', ')}`);
  return { ...list, cniVersion };
}

function listOfOne(value: object): object {
  const single = value as { cniVersion?: unknown; name?: unknown };
  return { cniVersion: single.cniVersion, name: single.name, plugins: [value] };
}

/** The newest of the offered versions that Skiff speaks. */
function chooseVersion(offered: string[]): string | undefined {
  return cniVersions.filter((version) => offered.includes(version)).at(-1);
}

/**
 * Short names (`fedora`, `team/app`) by containers-registries.conf(5): aliases first, then the
 * `unqualified-search-registries` in their order. Without any configuration a short name belongs to
 * docker.io, as Docker and Kubernetes users expect. The files are read at every call.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';
import { errnoOf, messageOf, SkiffError } from '#foundation/base/errors.ts';
import {
  formatRepository,
  looksLikeDomain,
  parseNamed,
  parseReference,
  type Reference,
} from './reference.ts';

/** Finds what short names stand for. */
export interface ShortNames {
  /**
   * The references to try for a name as a user wrote it, in order; one for a name with a registry.
   *
   * @throws SkiffError INVALID_ARGUMENT for an invalid name, or one that is ambiguous in enforcing mode;
   *   FAILED_PRECONDITION for a broken file.
   */
  candidates(text: string): Promise<Reference[]>;
}

const registriesConf = z.looseObject({
  'unqualified-search-registries': z.array(z.string()).optional(),
  'short-name-mode': z.enum(['enforcing', 'permissive', 'disabled', '']).optional(),
  aliases: z.record(z.string(), z.string()).optional(),
});
type RegistriesConf = z.infer<typeof registriesConf>;

/**
 * Makes a resolver.
 *
 * @param deps.files `registries.conf` files and `registries.conf.d` folders, later ones win; absent ones are
 *   skipped. A folder's `*.conf` files are read in the order of their names.
 */
export function createShortNames(deps: { files?: readonly string[] } = {}): ShortNames {
  return {
    async candidates(text) {
      if (!isShort(text)) return [parseReference(text)];
      const config = await readAll(deps.files ?? []);
      const written = parseReference(text);
      const alias = config.aliases?.[nameOf(text)];
      if (alias !== undefined) return [{ ...written, ...repositoryOf(alias, text) }];
      const registries = config['unqualified-search-registries'] ?? [];
      if (registries.length === 0) return [written];
      if (registries.length > 1 && config['short-name-mode'] === 'enforcing')
        throw ambiguous(text, registries);
      const suffix = text.slice(nameOf(text).length);
      return registries.map((registry) => parseReference(`${registry}/${nameOf(text)}${suffix}`));
    },
  };
}

/** Whether a name says no registry. */
function isShort(text: string): boolean {
  const slash = text.indexOf('/');
  return slash < 0 || !looksLikeDomain(text.slice(0, slash));
}

/** The name without tag and digest, as it was written. */
function nameOf(text: string): string {
  return text.replace(/@.*$/, '').replace(/:[^/]*$/, '');
}

function repositoryOf(alias: string, name: string): Pick<Reference, 'domain' | 'path'> {
  const { domain, path, tag, digest } = parseNamed(alias);
  if (isShort(alias) || tag !== undefined || digest !== undefined)
    throw new SkiffError(
      'FAILED_PRECONDITION',
      `Cannot use the alias of "${name}" in registries.conf: "${alias}" must be registry/repository without a tag`,
    );
  return { domain, path };
}

function ambiguous(text: string, registries: readonly string[]): SkiffError {
  const whole = registries.map((registry) => formatRepository({ domain: registry, path: nameOf(text) }));
  return new SkiffError(
    'INVALID_ARGUMENT',
    `Ambiguous image name "${text}": registries.conf demands one registry (short-name-mode "enforcing"); write one of ${whole.join(', ')}`,
  );
}

async function readAll(files: readonly string[]): Promise<RegistriesConf> {
  const found: RegistriesConf = {};
  for (const file of files) {
    for (const path of await expand(file)) {
      const { aliases, ...rest } = await readOne(path);
      Object.assign(found, rest);
      found.aliases = { ...found.aliases, ...aliases };
    }
  }
  return found;
}

async function expand(file: string): Promise<string[]> {
  try {
    const names = await readdir(file);
    return names
      .filter((name) => name.endsWith('.conf'))
      .sort()
      .map((name) => join(file, name));
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') return [file];
    if (errnoOf(error) === 'ENOENT') return [];
    throw broken(file, messageOf(error));
  }
}

async function readOne(path: string): Promise<RegistriesConf> {
  let content: unknown;
  try {
    content = parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw broken(path, messageOf(error).split('\n')[0] ?? '');
  }
  const parsed = registriesConf.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw broken(path, `${issue?.path.join('.') || 'top level'}: ${issue?.message ?? 'invalid'}`);
}

function broken(path: string, why: string): SkiffError {
  return new SkiffError('FAILED_PRECONDITION', `Invalid registry configuration ${path}: ${why}`);
}

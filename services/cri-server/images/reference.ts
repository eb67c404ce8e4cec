/**
 * Image references, normalised as Docker and Kubernetes users expect: `nginx` means
 * `docker.io/library/nginx:latest`. The grammar is that of the distribution project's `reference` package:
 *
 *     [domain[:port]/]path[/path...][:tag][@algorithm:hex]
 */
import { SkiffError } from '#foundation/base/errors.ts';

/** A normalised image reference. Without a tag and a digest it names a repository. */
export interface Reference {
  /** Host with an optional port: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  domain: string;
  /** Repository below the domain: `library/nginx`. */
  path: string;
  tag?: string;
  /** `sha256:` and 64 hex digits (or sha384 and 96, sha512 and 128). */
  digest?: string;
}

/** The registry that names without one belong to. */
export const defaultDomain = 'docker.io';
/** The folder of Docker's registry that single-word names belong to. */
const officialFolder = 'library';
/** Characters of domain and path together; more than any registry stores. */
const maxNameLength = 255;

const pathComponent = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const domainLabel = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const domainPattern = new RegExp(
  `^(?:${domainLabel}(?:\\.${domainLabel})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`,
);
const digestLengths: Record<string, number> = { sha256: 64, sha384: 96, sha512: 128 };

/**
 * Parses and normalises an image name as people write it. A name with neither tag nor digest gets the tag
 * `latest`; a name with both keeps both.
 *
 * @throws SkiffError INVALID_ARGUMENT that says which part is wrong.
 */
export function parseReference(text: string): Reference {
  const named = parseNamed(text);
  return named.tag === undefined && named.digest === undefined ? { ...named, tag: 'latest' } : named;
}

/**
 * Like `parseReference`, but leaves a name without tag and digest as it is: a repository.
 *
 * @throws SkiffError INVALID_ARGUMENT that says which part is wrong.
 */
export function parseNamed(text: string): Reference {
  if (text === '') throw invalid(text, 'it is empty');
  const [beforeDigest, digest] = splitDigest(text);
  const [name, tag] = splitTag(beforeDigest);
  if (tag !== undefined && !tagPattern.test(tag))
    throw invalid(text, `the tag "${tag}" must be up to 128 letters, digits, "_", "." and "-"`);
  if (/^[a-f0-9]{64}$/.test(name)) throw invalid(text, 'it is a bare image id, not a name');
  const { domain, path } = splitDomain(name);
  checkName(text, domain, path);
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** The whole name: `docker.io/library/nginx:latest`, `quay.io/a/b:v1@sha256:...`. */
export function formatReference(reference: Reference): string {
  return formatRepository(reference) + suffix(reference);
}

/** The name without tag and digest: `docker.io/library/nginx`. */
export function formatRepository({ domain, path }: Pick<Reference, 'domain' | 'path'>): string {
  return `${domain}/${path}`;
}

/** The short form that people know: `nginx:latest`, `library` and `docker.io` left out. */
export function familiarReference(reference: Reference): string {
  const { domain, path } = reference;
  if (domain !== defaultDomain) return formatReference(reference);
  const official = path.startsWith(`${officialFolder}/`) && path.split('/').length === 2;
  return (official ? path.slice(officialFolder.length + 1) : path) + suffix(reference);
}

/** Whether `text` is a digest of an algorithm that Skiff verifies. */
export function isDigest(text: string): boolean {
  const [algorithm = '', hex = '', ...rest] = text.split(':');
  const length = digestLengths[algorithm];
  return rest.length === 0 && length !== undefined && hex.length === length && /^[a-f0-9]+$/.test(hex);
}

/** Whether the first component of a name is a registry and not a folder: it has a dot, a port, or is localhost. */
export function looksLikeDomain(component: string): boolean {
  return /[.:[]/.test(component) || component === 'localhost' || component !== component.toLowerCase();
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);
}

function splitDigest(text: string): [string, string | undefined] {
  const at = text.indexOf('@');
  if (at < 0) return [text, undefined];
  const digest = text.slice(at + 1);
  if (!isDigest(digest))
    throw invalid(
      text,
      `the digest "${digest}" must be sha256, sha384 or sha512, ":" and its lower-case hex`,
    );
  return [text.slice(0, at), digest];
}

/** A colon after the last slash starts a tag; one before it is a port. */
function splitTag(text: string): [string, string | undefined] {
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1);
  return colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  if (slash < 0 || !looksLikeDomain(first)) return { domain: defaultDomain, path: officialPath(name) };
  const rest = name.slice(slash + 1);
  const isDocker = first === defaultDomain || first === 'index.docker.io';
  return isDocker ? { domain: defaultDomain, path: officialPath(rest) } : { domain: first, path: rest };
}

function officialPath(path: string): string {
  return path.includes('/') ? path : `${officialFolder}/${path}`;
}

function checkName(text: string, domain: string, path: string): void {
  if (!domainPattern.test(domain))
    throw invalid(text, `"${domain}" is not a host name with an optional port`);
  const port = /:([0-9]+)$/.exec(domain)?.[1];
  if (port !== undefined && Number(port) > 65535) throw invalid(text, `the port ${port} is above 65535`);
  for (const component of path.split('/')) {
    if (pathComponent.test(component)) continue;
    if (pathComponent.test(component.toLowerCase())) throw invalid(text, 'the name must be lower case');
    throw invalid(
      text,
      `"${component}" is not a name of lower-case letters and digits, with ".", "_", "__" or "-" between`,
    );
  }
  if (domain.length + 1 + path.length > maxNameLength)
    throw invalid(text, `the name is longer than ${maxNameLength} characters`);
}

function invalid(text: string, why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `Invalid image name "${text.slice(0, 300)}": ${why}`);
}

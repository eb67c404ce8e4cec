/** Image names as users write them: what is valid, and what the default tag is (distribution's grammar). */

/** The parts of an image name. */
export interface ImageName {
  /** `registry/path` without tag and digest. */
  repository: string;
  tag: string | undefined;
  digest: string | undefined;
}

const domainPart = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const domain = `(?:${domainPart}(?:\\.${domainPart})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?`;
const path = '[a-z0-9]+(?:(?:[._]|__|[-]+)[a-z0-9]+)*';
const reference = new RegExp(
  `^((?:${domain}/)?${path}(?:/${path})*)(?::([\\w][\\w.-]{0,127}))?(?:@([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?$`,
);

/** Parses an image name; undefined if it is not valid. */
export function parseImageName(text: string): ImageName | undefined {
  if (text.length > 4096) return undefined;
  const match = reference.exec(text);
  if (match === null || match[1] === undefined) return undefined;
  return { repository: match[1], tag: match[2], digest: match[3] };
}

/** The name with `:latest` where it has neither tag nor digest; undefined if it is not valid. */
export function withDefaultTag(image: string): string | undefined {
  const name = parseImageName(image);
  if (name === undefined) return undefined;
  return name.tag === undefined && name.digest === undefined ? `${image}:latest` : image;
}

export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

/** The policy of a container: Always for `latest`, else IfNotPresent, unless it names one. */
export function pullPolicyOf(policy: string | undefined, image: string): PullPolicy {
  if (policy === 'Always' || policy === 'IfNotPresent' || policy === 'Never') return policy;
  const name = parseImageName(image);
  return name?.digest === undefined && (name?.tag ?? 'latest') === 'latest' ? 'Always' : 'IfNotPresent';
}

/** The registry's host and the path, as credentials are looked up: `docker.io` for short names. */
export function registryPathOf(image: string): string {
  const repository = parseImageName(image)?.repository ?? image;
  const [first = '', ...rest] = repository.split('/');
  const hasHost = rest.length > 0 && (first.includes('.') || first.includes(':') || first === 'localhost');
  if (hasHost) return repository;
  return rest.length === 0 ? `index.docker.io/library/${repository}` : `index.docker.io/${repository}`;
}

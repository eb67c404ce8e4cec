/** Start-up: what a crash left half made is removed, what was fetched is kept for the next attempt. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ImageParts } from './deps.ts';
import { discard } from './pull/fetch-layer.ts';

/** Milliseconds that content without an image is spared after a start: its pull may be tried again. */
const resumeMs = 10 * 60_000;

/** Repairs; the removal of what is useless goes on behind. */
export function recoverImages(parts: ImageParts): void {
  const { content, layers, leases, directory } = parts;
  const lease = leases.open();
  for (const digest of [...content.list(), ...content.listPartials()]) lease.blob(digest);
  lease.expire(resumeMs);
  const trash = join(directory, 'trash');
  mkdirSync(trash, { recursive: true, mode: 0o700 });
  const builds = readdirSync(directory).filter((name) => name.startsWith('build-'));
  const useless = [
    ...layers.orphans(),
    ...readdirSync(trash).map((name) => join(trash, name)),
    ...builds.map((name) => join(directory, name)),
  ];
  for (const path of useless) void discard(parts, path);
}

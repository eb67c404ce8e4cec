/**
 * Id-mapped mounts for runtimes that make none themselves (runc before 1.2): each source is bound with mapped owners
 * on a place of Skiff's own, from which the runtime binds it into the container; then the place is given up. The
 * places lie in the run directory, apart from all that is deleted with its content: a crash leaves mounts of
 * volumes there, which start-up takes off first.
 */
import { mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec, SpecMount } from '#contracts/oci/runtime.ts';
import type { UndoStack } from '#foundation/base/undo.ts';
import { bindIdMapped } from '#foundation/linux/id-mapped.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import type { SandboxView } from '../ports.ts';
import type { Core } from './deps.ts';

/**
 * Binds what a spec wants mapped, where the runtime cannot.
 *
 * @returns the spec for such a runtime, and what gives the places up once the container is made.
 * @throws SkiffError INVALID_ARGUMENT with EINVAL if a file system cannot map owners.
 */
export function bindMappedMounts(
  core: Pick<Core, 'paths' | 'runtimes'>,
  id: string,
  sandbox: SandboxView,
  spec: RuntimeSpec,
  undo: UndoStack,
): { spec: RuntimeSpec; release: () => void } {
  const users = sandbox.namespaces.user;
  const wanted = (spec.mounts ?? []).some((mount) => mount.uidMappings !== undefined);
  const able = core.runtimes.driver(sandbox.runtimeHandler).features.idMappedMounts;
  if (!wanted || able || users === undefined) return { spec, release: () => {} };
  const place = join(mappedDirectory(core.paths), id);
  const release = () => giveUp(place);
  undo.defer('release mapped mounts', release);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const mounts = (spec.mounts ?? []).map((mount, index) =>
    mount.uidMappings === undefined ? mount : bindMapped(mount, join(place, String(index)), users),
  );
  return { spec: { ...spec, mounts }, release };
}

function bindMapped(mount: SpecMount, target: string, userNamespace: string): SpecMount {
  const { uidMappings: _uids, gidMappings: _gids, ...plain } = mount;
  const source = mount.source ?? '';
  if (statSync(source).isDirectory()) mkdirSync(target);
  else writeFileSync(target, '');
  bindIdMapped({ source, target, userNamespace, recursive: true });
  return { ...plain, source: target };
}

/** Takes off what a crash left. Call it before anything is deleted. */
export function recoverMappedMounts(paths: Core['paths']): void {
  const directory = mappedDirectory(paths);
  for (const id of entries(directory)) giveUp(join(directory, id));
}

function mappedDirectory(paths: Pick<Core['paths'], 'run'>): string {
  return join(paths.run, 'mapped');
}

/** Never deletes a tree: what could not be unmounted is somebody's data. */
function giveUp(place: string): void {
  unmountTree(place);
  for (const name of entries(place)) {
    const path = join(place, name);
    if (statSync(path).isDirectory()) rmdirSync(path);
    else unlinkSync(path);
  }
  if (entries(place).length === 0 && statSync(place, { throwIfNoEntry: false }) !== undefined)
    rmdirSync(place);
}

function entries(directory: string): string[] {
  return statSync(directory, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(directory);
}

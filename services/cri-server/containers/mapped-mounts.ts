/**
 * Id-mapped mounts. Runtimes before runc 1.2 make none; crun 1.8 makes a user namespace for each, and on a busy machine
 * takes hold of it before it is one (EPERM of mount_setattr(2)). The pod's own namespace is there already: so each
 * source is bound with mapped owners on a place of Skiff's own, from which the runtime binds it into the container;
 * then the place is given up. The
 * places lie in the run directory, apart from all that is deleted with its content: a crash leaves mounts of
 * volumes there, which start-up takes off first.
 */
import { mkdirSync, readdirSync, rmdirSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeSpec, SpecIdMapping, SpecMount } from '#contracts/oci/runtime.ts';
import type { UndoStack } from '#foundation/base/undo.ts';
import { bindIdMapped } from '#foundation/linux/id-mapped.ts';
import { unmountTree } from '#foundation/linux/mount.ts';
import type { RootIdMap, SandboxView } from '../ports.ts';
import type { Core } from './deps.ts';
import { idMapOf } from './spec/namespaces.ts';

/**
 * Binds what a spec wants mapped as the pod's users are; other mappings are the runtime's to make.
 *
 * @returns the spec for the runtime, and what gives the places up once the container is made.
 * @throws SkiffError INVALID_ARGUMENT with EINVAL if a file system cannot map owners.
 */
export function bindMappedMounts(
  core: Pick<Core, 'paths'>,
  id: string,
  sandbox: SandboxView,
  spec: RuntimeSpec,
  undo: UndoStack,
): { spec: RuntimeSpec; release: () => void } {
  const map = idMapOf(sandbox);
  if (map === undefined || !spec.mounts.some((mount) => isMappedAs(mount, map)))
    return { spec, release: () => {} };
  const place = join(mappedDirectory(core.paths), id);
  const release = () => giveUp(place);
  undo.defer('release mapped mounts', release);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  const mounts = spec.mounts.map((mount, index) =>
    isMappedAs(mount, map) ? bindMapped(mount, join(place, String(index)), map.userNamespace) : mount,
  );
  return { spec: { ...spec, mounts }, release };
}

/** Whether a mount's owners are those of the pod. */
function isMappedAs({ uidMappings, gidMappings }: SpecMount, map: RootIdMap): boolean {
  const is = (mappings: SpecIdMapping[] | undefined, first: number, count: number) =>
    mappings?.length === 1 &&
    mappings.every(
      ({ containerID, hostID, size }) => containerID === 0 && hostID === first && size === count,
    );
  return is(uidMappings, map.uid, map.uids) && is(gidMappings, map.gid, map.gids);
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

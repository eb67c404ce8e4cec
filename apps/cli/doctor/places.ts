/** Checks of places: overlayfs, disk space, ports. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { messageOf } from '#foundation/base/errors.ts';
import type { Paths } from '#foundation/base/paths.ts';
import { mount, unmount } from '#foundation/linux/mount.ts';
import { bytes } from '../output/units.ts';
import { broken, type Check, fine, lacking } from './check.ts';

/** Mounts an overlay where the images are kept, and takes it away again. */
export function checkOverlay(paths: Paths): Check {
  return async () => {
    const parent = existingParent(paths.lib);
    const directory = mkdtempSync(join(parent, '.skiff-doctor-'));
    try {
      for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(join(directory, name));
      const data = `lowerdir=${directory}/lower,upperdir=${directory}/upper,workdir=${directory}/work`;
      mount({ source: 'overlay', target: join(directory, 'merged'), type: 'overlay', data });
      unmount(join(directory, 'merged'));
      return [fine('overlayfs', `works below ${parent}`)];
    } catch (error) {
      const remedy = `image layers will be copied for every container; put ${paths.lib} on ext4 or xfs`;
      return [lacking('overlayfs', messageOf(error), remedy)];
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  };
}

/** Bytes under which pulling a common image fails. */
const tightDisk = 2_000_000_000;

export function checkDisk(paths: Paths): Check {
  return async () => {
    const place = existingParent(paths.lib);
    const { bavail, bsize, blocks } = statfsSync(place);
    const detail = `${bytes(bavail * bsize)} of ${bytes(blocks * bsize)} free at ${place}`;
    if (bavail * bsize >= tightDisk) return [fine('disk', detail)];
    return [broken('disk', detail, `free space at ${place}, or use --root on another disk`)];
  };
}

function existingParent(path: string): string {
  let place = path;
  while (!existsSync(place)) place = dirname(place);
  return place === '/' ? tmpdir() : place;
}

/** The kubelet's and the embedded API's ports. */
const ports = [
  { port: 10250, host: '0.0.0.0', what: "the kubelet's API" },
  { port: 10248, host: '127.0.0.1', what: "the kubelet's health" },
  { port: 6443, host: '127.0.0.1', what: 'the Kubernetes API' },
];

/** @param ours whether a Skiff node that runs now explains why ports are taken. */
export function checkPorts(ours: boolean): Check {
  return async () => {
    const taken: string[] = [];
    for (const { port, host, what } of ports)
      if (!(await isFree(port, host))) taken.push(`${port} (${what})`);
    if (taken.length === 0) return [fine('ports', `${ports.map((each) => each.port).join(' ')} are free`)];
    if (ours) return [fine('ports', `${taken.join(', ')} used by the Skiff node that runs here`)];
    const remedy = 'stop what listens there (ss -ltnp), or let Skiff choose others with its configuration';
    return [lacking('ports', `taken: ${taken.join(', ')}`, remedy)];
  };
}

function isFree(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}

/** Checks which OCI runtimes work here, by running a container with each. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathsUnder } from '#foundation/base/paths.ts';
import { createSpawner } from '#foundation/linux/spawn.ts';
import { probeRuntimes } from '#services/cri-server/runtimes/probe.ts';
import { broken, type Check, type Finding, fine, lacking } from './check.ts';

export const checkRuntimes: Check = async () => {
  if (process.getuid?.() !== 0) return [lacking('oci runtimes', 'not tried', 'run as root to try them')];
  const directory = mkdtempSync(join(tmpdir(), 'skiff-doctor-'));
  using spawner = createSpawner();
  try {
    const probes = await probeRuntimes({
      spawner,
      paths: { exits: join(directory, 'exits'), attach: join(directory, 'attach') },
      stateRoot: join(directory, 'state'),
      tag: pathsUnder(directory).tag,
    });
    const usable = probes.filter((each) => each.usable);
    return probes.map((each): Finding => {
      if (each.usable)
        return fine(
          each.name,
          each === usable[0] ? `${each.version}, runs here (used)` : `${each.version}, runs here`,
        );
      return (usable.length > 0 ? lacking : broken)(each.name, each.reason, each.remedy);
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

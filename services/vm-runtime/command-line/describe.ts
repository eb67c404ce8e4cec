/** A container as `state` and `list` tell it: runc's form. */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { ociVersion } from '#contracts/oci/runtime.ts';
import type { ContainerRecord } from '../supervisor/records.ts';
import { statusOf } from './status.ts';

/** The state document of the OCI runtime format, with what runc adds. */
export interface Description {
  ociVersion: string;
  id: string;
  pid: number;
  status: string;
  bundle: string;
  rootfs: string;
  /** RFC 3339. */
  created: string;
  annotations?: Record<string, string>;
  owner: string;
}

/** Describes a container. */
export function describe(record: ContainerRecord): Description {
  const status = statusOf(record);
  const { annotations } = record;
  return {
    ociVersion,
    id: record.id,
    pid: status === 'stopped' ? 0 : record.shim.pid,
    status,
    bundle: record.bundle,
    rootfs: rootOf(record.bundle),
    created: new Date(Number(BigInt(record.createdAt) / 1_000_000n)).toISOString(),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    owner: '',
  };
}

function rootOf(bundle: string): string {
  try {
    const { root } = JSON.parse(readFileSync(join(bundle, 'config.json'), 'utf8')) as {
      root: { path: string };
    };
    return isAbsolute(root.path) ? root.path : join(bundle, root.path);
  } catch {
    return ''; // The bundle has been removed under it.
  }
}

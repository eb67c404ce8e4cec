/** Which claims are prepared on this node and for which pods; written down before a driver is asked, so that what a crash interrupts is undone. */
import { existsSync, readFileSync } from 'node:fs';
import { wrapError } from '#foundation/base/errors.ts';
import { replaceFileSync } from '#foundation/base/files.ts';

/** A device of a claim. */
export interface PreparedDevice {
  poolName: string;
  deviceName: string;
  /** Empty for all requests of the claim. */
  requestNames: string[];
  cdiDeviceIds: string[];
}

/** A claim. */
export interface PreparedClaim {
  namespace: string;
  name: string;
  uid: string;
  podUids: string[];
  /** False while a driver is being asked: it may or may not have done it. */
  prepared: boolean;
  /** Devices by driver. */
  drivers: Record<string, PreparedDevice[]>;
}

/** All claims by namespace and name. */
export interface PreparedClaims {
  all(): PreparedClaim[];
  get(namespace: string, name: string): PreparedClaim | undefined;
  /** Adds or replaces a claim, on disk too. @throws SkiffError if it cannot be written. */
  set(claim: PreparedClaim): void;
  remove(claim: PreparedClaim): void;
}

const version = 1;

/** Opens the file. @throws SkiffError if it cannot be read. */
export function openPreparedClaims(path: string): PreparedClaims {
  const claims = new Map(load(path).map((claim) => [keyOf(claim.namespace, claim.name), claim]));
  const save = () => replaceFileSync(path, JSON.stringify({ version, claims: [...claims.values()] }));
  return {
    all: () => [...claims.values()],
    get: (namespace, name) => claims.get(keyOf(namespace, name)),
    set(claim) {
      claims.set(keyOf(claim.namespace, claim.name), claim);
      save();
    },
    remove(claim) {
      claims.delete(keyOf(claim.namespace, claim.name));
      save();
    },
  };
}

function keyOf(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

function load(path: string): PreparedClaim[] {
  if (!existsSync(path)) return [];
  try {
    const stored = JSON.parse(readFileSync(path, 'utf8')) as { version: number; claims: PreparedClaim[] };
    return stored.version === version ? stored.claims : [];
  } catch (error) {
    throw wrapError(
      error,
      `Cannot read the prepared claims in "${path}" (drain the node and delete the file)`,
    );
  }
}

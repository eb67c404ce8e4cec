/** What a fault case is, and how one is run. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Descriptor } from '#contracts/oci/image.ts';
import { type ErrorCode, SkiffError } from '#foundation/base/errors.ts';
import { parseReference, type Reference } from '#services/cri-server/images/reference.ts';
import {
  type AuthRequest,
  createRegistryClient,
  type Limits,
  type RegistryClient,
} from '#services/cri-server/images/registry/client.ts';
import { readAll, sampleImage } from './sample.ts';
import { type Fault, type FaultyOptions, type FaultyRegistry, startFaultyRegistry } from './server.ts';

/** Where a case plays. */
export interface Scene {
  registry: FaultyRegistry;
  /** Another host with the same content: an object store, a mirror, a foreign server. */
  other: FaultyRegistry;
  client: RegistryClient;
  reference: Reference;
  auth: AuthRequest | undefined;
}

/** One fault and what must come of it. */
export interface FaultCase {
  name: string;
  /** Of the registry. */
  fault?: (scene: Scene) => Fault;
  /** Of the other host. */
  otherFault?: (scene: Scene) => Fault;
  /** What the client is asked to do; `pull` unless told. */
  does?: (scene: Scene) => Promise<unknown>;
  /** The exact failure; without it the case must succeed. */
  fails?: { code: ErrorCode; says: RegExp };
  /** Looks at the requests afterwards. */
  after?: (scene: Scene) => void;
  auth?: AuthRequest | ((scene: Scene) => AuthRequest);
  limits?: Partial<Limits>;
  /** Size of the layer; 300,000 unless told. */
  layerBytes?: number;
  tls?: FaultyOptions['tls'];
  otherTls?: FaultyOptions['tls'];
  /** The registry's hosts.toml. */
  hostsToml?: (scene: Scene) => string;
}

/** Short times, so that faults show at once. */
const quick: Partial<Limits> = {
  connectMs: 15_000,
  headersMs: 500,
  stallMs: 250,
  slowMs: 500,
  slowBytes: 2000,
  attempts: 4,
  backoffMs: 5,
  maxBackoffMs: 1500,
  maxManifestBytes: 100_000,
};

/** Resolves the tag, reads the layer, and compares both with the truth. */
export async function pull(scene: Scene): Promise<void> {
  await resolveIt(scene);
  await readLayer(scene);
}

/** Resolves the tag and compares. */
export async function resolveIt({ client, reference, registry, auth }: Scene): Promise<void> {
  const { bytes, descriptor } = await client.resolve(reference, { auth });
  assert.deepEqual(descriptor, registry.image.descriptor);
  assert.ok(bytes.equals(registry.image.manifest));
}

/** Reads the layer and compares. */
export async function readLayer({ client, reference, registry, auth }: Scene, offset = 0): Promise<void> {
  const { layer, blobs } = registry.image;
  const content = await readAll(await client.openBlob(reference, layer, { auth, offset }));
  assert.ok(blobs.get(layer.digest)?.subarray(offset).equals(content), 'the bytes are not the layer');
}

/** Reads a blob by another descriptor than the true one. */
export function readAs(change: Partial<Descriptor> | ((scene: Scene) => Partial<Descriptor>)) {
  return async (scene: Scene): Promise<void> => {
    const changed = typeof change === 'function' ? change(scene) : change;
    const descriptor = { ...scene.registry.image.layer, ...changed };
    await readAll(await scene.client.openBlob(scene.reference, descriptor, { auth: scene.auth }));
  };
}

/** Plays a case; throws an AssertionError if something else comes of it than the case says. */
export async function play(fault: FaultCase): Promise<void> {
  const image = sampleImage(fault.layerBytes);
  await using registry = await startFaultyRegistry({ image, tls: fault.tls });
  await using other = await startFaultyRegistry({ image, tls: fault.otherTls });
  const certsDir = mkdtempSync('/tmp/skiff-certs-');
  const limits = { ...quick, ...fault.limits };
  const client = createRegistryClient({ certsDirs: [certsDir], limits });
  const reference = parseReference(`${registry.address}/app:v1`);
  const scene: Scene = { registry, other, client, reference, auth: undefined };
  scene.auth = typeof fault.auth === 'function' ? fault.auth(scene) : fault.auth;
  registry.fault = fault.fault?.(scene);
  other.fault = fault.otherFault?.(scene);
  if (fault.hostsToml !== undefined) {
    mkdirSync(join(certsDir, registry.address));
    writeFileSync(join(certsDir, registry.address, 'hosts.toml'), fault.hostsToml(scene));
  }
  try {
    await check(fault, scene);
  } finally {
    await client.close();
    rmSync(certsDir, { recursive: true });
  }
}

async function check(fault: FaultCase, scene: Scene): Promise<void> {
  const outcome: unknown = await (fault.does ?? pull)(scene).catch((error: unknown) => error);
  if (fault.fails === undefined) {
    if (outcome !== undefined) throw outcome;
  } else {
    assert.ok(outcome instanceof SkiffError, `no SkiffError but ${String(outcome)}`);
    assert.equal(outcome.code, fault.fails.code, outcome.message);
    assert.match(outcome.message, fault.fails.says);
    assert.match(outcome.message, /^(RegistryUnavailable: c|C)annot (pull|push|look for) /);
    assert.equal(outcome.message.startsWith('RegistryUnavailable'), outcome.code === 'UNKNOWN');
  }
  fault.after?.(scene);
}

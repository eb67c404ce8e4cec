/**
 * Which credentials have proven that they may use which image (KEP-2535). A pod that names an image which
 * somebody else's secret pulled must prove its own right to it by pulling again.
 *
 * Files: `ROOT/image_manager/pulling/HASH` while a pull is under way, `ROOT/image_manager/pulled/HASH` after
 * it. An image without any record was there before the kubelet: everybody may use it.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Credential } from './keyring.ts';

interface PulledRecord {
  kind: 'ImagePulledRecord';
  apiVersion: 'kubelet.config.k8s.io/v1beta1';
  imageRef: string;
  lastUpdatedTime: string;
  /** Hashes of credentials that pulled it; `nodePodsAccessible` when it was pulled without any. */
  nodePodsAccessible: boolean;
  credentialHashes: string[];
}

/** What the image manager asks of the records. */
export interface PullRecords {
  begin(image: string): void;
  pulled(image: string, imageRef: string, credential: Credential | undefined): void;
  failed(image: string): void;
  /** Whether a pod with these credentials may use an image without pulling it. */
  mayUse(imageRef: string, credentials: readonly Credential[], policy: string): boolean;
}

/** Records under `directory` (`ROOT/image_manager`); made when missing. */
export function createPullRecords(directory: string, now: () => number): PullRecords {
  const pulling = join(directory, 'pulling');
  const pulled = join(directory, 'pulled');
  mkdirSync(pulling, { recursive: true, mode: 0o700 });
  mkdirSync(pulled, { recursive: true, mode: 0o700 });
  const read = (imageRef: string): PulledRecord | undefined => {
    try {
      return JSON.parse(readFileSync(join(pulled, fileName(imageRef)), 'utf8')) as PulledRecord;
    } catch {
      return undefined; // None, or broken: then it counts as preloaded, as in the original.
    }
  };
  return {
    begin(image) {
      const intent = { kind: 'ImagePullIntent', apiVersion: 'kubelet.config.k8s.io/v1beta1', image };
      replaceFileSync(join(pulling, fileName(image)), JSON.stringify(intent), { durable: false });
    },
    pulled(image, imageRef, credential) {
      const before = read(imageRef);
      const hashes = new Set(before?.credentialHashes);
      if (credential !== undefined) hashes.add(hashOf(credential));
      const record: PulledRecord = {
        kind: 'ImagePulledRecord',
        apiVersion: 'kubelet.config.k8s.io/v1beta1',
        imageRef,
        lastUpdatedTime: new Date(now()).toISOString(),
        nodePodsAccessible: credential === undefined || before?.nodePodsAccessible === true,
        credentialHashes: [...hashes],
      };
      replaceFileSync(join(pulled, fileName(imageRef)), JSON.stringify(record), { durable: false });
      rmSync(join(pulling, fileName(image)), { force: true });
    },
    failed: (image) => rmSync(join(pulling, fileName(image)), { force: true }),
    mayUse(imageRef, credentials, policy) {
      const record = read(imageRef);
      if (record === undefined || record.nodePodsAccessible || policy === 'Never') return true;
      return credentials.some((credential) => record.credentialHashes.includes(hashOf(credential)));
    },
  };
}

function fileName(name: string): string {
  return `sha256-${createHash('sha256').update(name).digest('hex')}`;
}

function hashOf(credential: Credential): string {
  return createHash('sha256').update(JSON.stringify(credential)).digest('hex');
}

/**
 * Which credentials have proven that they may use which image (KEP-2535). A pod that names an image which
 * somebody else's secret pulled must prove its own right to it by pulling again.
 *
 * Files: `ROOT/image_manager/pulling/HASH` while a pull is under way, `ROOT/image_manager/pulled/HASH` after
 * it. An image without any record was there before the kubelet: whether everybody may use it says the policy.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { Credential } from './keyring.ts';
import { registryPathOf } from './reference.ts';

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
  mayUse(image: string, imageRef: string, credentials: readonly Credential[]): boolean;
}

/** Which images must be proven. */
export interface VerificationPolicy {
  /** `imagePullCredentialsVerificationPolicy`. */
  policy: 'NeverVerify' | 'NeverVerifyPreloadedImages' | 'NeverVerifyAllowlistedImages' | 'AlwaysVerify';
  /** `preloadedImagesVerificationAllowlist`: images without tags, or with `/*` at the end for all below. */
  allowlist: readonly string[];
}

const usualPolicy: VerificationPolicy = { policy: 'NeverVerifyPreloadedImages', allowlist: [] };

/** Records under `directory` (`ROOT/image_manager`); made when missing. */
export function createPullRecords(
  directory: string,
  now: () => number,
  verification: VerificationPolicy = usualPolicy,
): PullRecords {
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
    mayUse(image, imageRef, credentials) {
      if (verification.policy === 'NeverVerify') return true;
      const record = read(imageRef);
      // A pull that a crash cut short may have ended all the same: nobody has proven anything.
      const isPreloaded = record === undefined && !existsSync(join(pulling, fileName(image)));
      if (isPreloaded && isExempt(verification, image)) return true;
      if (record === undefined) return false;
      if (record.nodePodsAccessible) return true;
      return credentials.some((credential) => record.credentialHashes.includes(hashOf(credential)));
    },
  };
}

/** Whether images that were there before the kubelet need no proof. */
function isExempt({ policy, allowlist }: VerificationPolicy, image: string): boolean {
  if (policy !== 'NeverVerifyAllowlistedImages') return policy === 'NeverVerifyPreloadedImages';
  const path = registryPathOf(image);
  return allowlist.some((pattern) => {
    if (!pattern.endsWith('/*')) return registryPathOf(pattern) === path;
    return path.startsWith(registryPathOf(`${pattern.slice(0, -1)}x`).slice(0, -1));
  });
}

function fileName(name: string): string {
  return `sha256-${createHash('sha256').update(name).digest('hex')}`;
}

function hashOf(credential: Credential): string {
  return createHash('sha256').update(JSON.stringify(credential)).digest('hex');
}

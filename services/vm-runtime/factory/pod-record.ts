/** What is on disk of a pod's VM beside the VM's and the share's own records: `pod.json`, written when it is whole. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFileSync } from '#foundation/base/files.ts';
import type { FactoryKind } from './types.ts';

/** The record. */
export interface PodRecord {
  version: 1;
  origin: FactoryKind;
  sharing: 'virtiofs' | 'block';
  netns?: string;
}

/** Places within a pod's directory. */
export function podFiles(directory: string) {
  return { vm: join(directory, 'vm'), share: join(directory, 'share'), record: join(directory, 'pod.json') };
}

export function savePodRecord(directory: string, record: PodRecord): void {
  replaceFileSync(podFiles(directory).record, JSON.stringify(record), { durable: false });
}

/** Undefined if it was never finished. */
export function readPodRecord(directory: string): PodRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(podFiles(directory).record, 'utf8')) as PodRecord;
    return record.version === 1 ? record : undefined;
  } catch {
    return undefined;
  }
}

/** What the worker threads of the image store do. One table says it: job name, what goes in, what comes out. */
import { basename, dirname } from 'node:path';
import { openRoot } from '#foundation/linux/at.ts';
import { syncFileSystem } from '#foundation/linux/sync.ts';
import { type CopyJob, copyLayers } from '../roots/copy-layers.ts';
import { type AdoptJob, adopt } from '../unpack/adopt.ts';
import { type CompareJob, compareTrees } from '../unpack/compare.ts';
import { type BlobFile, ControlSlot, createControl, followBlob } from '../unpack/follow.ts';
import { type LayOutJob, layOut } from '../unpack/lay-out.ts';
import { removeTreeAt } from '../unpack/remove-tree.ts';
import type { Scratch } from '../unpack/scratch.ts';
import {
  type CheckJob,
  checkLayer,
  type Unpacked,
  type UnpackJob,
  unpackLayer,
} from '../unpack/unpack-layer.ts';
import { type TreeUsage, treeUsage } from '../unpack/usage.ts';

/** Every job, by name. */
export interface Jobs {
  /** Unpacks a layer. */
  unpack(job: UnpackJob): Unpacked;
  /** Checks both digests of a layer without unpacking it. */
  check(job: CheckJob): void;
  /** The digest of a whole file, by the algorithm of the digest that it should have. */
  digest(file: BlobFile): string;
  /** Gives folders that came without an entry what the layers below have for them. */
  adopt(job: AdoptJob): void;
  /** Lays out an archive of images. @returns whether it says what the folder itself is like. */
  layOut(job: LayOutJob): { hasRoot: boolean };
  /** The path of the first difference between two trees; undefined if they are alike. */
  compare(job: CompareJob): string | undefined;
  /** Puts layers together by copying. */
  copyLayers(job: CopyJob): void;
  /** What a tree takes on disk. */
  usage(path: string): TreeUsage;
  /** Removes a tree. */
  remove(path: string): void;
  /** Makes the file system that holds a path durable. */
  sync(path: string): void;
}

/** How each is done in a worker thread, which it may block. */
export function createJobs(scratch: Scratch): Jobs {
  return {
    unpack: (job) => unpackLayer(job, scratch),
    digest: ({ path, size, digest }) => {
      const control = createControl();
      Atomics.store(control, ControlSlot.available, BigInt(size));
      using blob = followBlob({ path, size, digest }, control, scratch);
      return blob.finish();
    },
    check: (job) => checkLayer(job, scratch),
    adopt,
    layOut: (job) => layOut(job, scratch),
    copyLayers,
    compare: compareTrees,
    usage: treeUsage,
    remove: (path) => {
      using folder = openRoot(dirname(path));
      removeTreeAt(folder.fd, Buffer.from(basename(path)).toString('latin1'));
    },
    sync: syncFileSystem,
  };
}

/** The records of the image store: what stands in SQLite, and how images, layers and roots hang together. */
import type { Descriptor, ImageConfig } from '#contracts/oci/image.ts';
import type { RootIdMap } from '../../ports.ts';

/** One layer of an image: the blob it comes as, and what it unpacks to. */
export interface ImageLayer {
  descriptor: Descriptor;
  /** Digest of the uncompressed layer. */
  diffId: string;
  /** Digest of this layer and all below it: the key of its record. */
  chainId: string;
}

/** An image that is complete. Its key is its id: the digest of its config. */
export interface ImageRecord {
  id: string;
  /** Normalised names with tags. */
  tags: string[];
  /** Normalised names with manifest or index digests. */
  digests: string[];
  /** The manifest by which it came last. */
  manifest: Descriptor;
  /** Indexes that led to it; kept so that their digests stay names of it. */
  indexes: Descriptor[];
  configSize: number;
  /** Bottom first. */
  layers: ImageLayer[];
  /** Bytes of layers, manifest and config as they were transferred. */
  size: number;
  config: ImageConfig;
  architecture: string;
  os: string;
  /** As the image says, RFC 3339; undefined if it does not. */
  created: string | undefined;
  pinned: boolean;
  /** Milliseconds since the epoch. */
  pulledAt: number;
}

/** An unpacked layer. Its key is the chain id. */
export interface LayerRecord {
  diffId: string;
  /** Chain id of the layer below. */
  parent: string | undefined;
  /** The number that names its directory. Layers that do not depend on those below share one. */
  directory: number;
  /** Whether folders in it took their attributes from the layers below, so that no other chain can share it. */
  adopted: boolean;
  /** Whether it says what the root folder is like. */
  hasRoot: boolean;
  /** Whether it hides everything below. */
  opaqueRoot: boolean;
  /** Bytes and inodes on disk. */
  diskBytes: number;
  inodes: number;
}

/** A root made for a container. Its key is the owner's. */
export interface RootRecord {
  imageId: string;
  /** Chain ids, bottom first: kept as long as the root is, even if the image goes. */
  chain: string[];
  readOnly: boolean;
  /** Of a pod with a user namespace. */
  idMap?: RootIdMap;
  /** The SELinux label of its files. */
  mountLabel?: string;
}

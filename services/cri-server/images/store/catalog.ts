/** The images of the store: kept in memory for lookups, written through to SQLite. */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Records, Store } from '../../store/store.ts';
import { formatReference, isDigest, parseReference } from '../reference.ts';
import type { ImageRecord } from './model.ts';

/** Finds and keeps images. */
export interface Catalog {
  all(): ImageRecord[];
  get(id: string): ImageRecord | undefined;
  /**
   * By id, digest of a manifest, name with tag or digest, short name, or unique prefix of an id.
   * Undefined if there is none, or if several ids have the prefix.
   */
  find(reference: string): ImageRecord | undefined;
  /** Adds or replaces an image; its names are taken from any other image that has them. */
  put(image: ImageRecord): void;
  /**
   * The same without waiting for the disk, if the catalog has a grouped store; the caller waits for that.
   *
   * @param alongside writes other records of that store in the same transaction.
   */
  putGrouped(image: ImageRecord, alongside: () => void): void;
  delete(id: string): void;
}

/** Opens the catalog in `store`; `grouped` is the same file, with commits that do not wait for the disk. */
export function openCatalog(store: Store, grouped: Store): Catalog {
  const records: Records<ImageRecord> = store.records<ImageRecord>('image', 1);
  const groupedRecords: Records<ImageRecord> = grouped.records<ImageRecord>('image', 1);
  const images = new Map(records.all().map(({ key, value }) => [key, value]));
  const byName = new Map<string, string>();
  const index = (image: ImageRecord) => {
    for (const name of [...image.tags, ...image.digests]) byName.set(name, image.id);
  };
  for (const image of images.values()) index(image);
  const forget = (image: ImageRecord) => {
    for (const name of [...image.tags, ...image.digests])
      if (byName.get(name) === image.id) byName.delete(name);
  };
  const remember = (image: ImageRecord) => {
    const before = images.get(image.id);
    if (before !== undefined) forget(before);
    images.set(image.id, image);
    index(image);
  };
  /** What is written with an image: those that it takes names from, and then itself. */
  const changesOf = (image: ImageRecord): ImageRecord[] => {
    const owners = new Set(image.tags.flatMap((name) => images.get(byName.get(name) ?? '') ?? []));
    const others = [...owners].filter((owner) => owner.id !== image.id);
    const without = ({ tags }: ImageRecord) => tags.filter((tag) => !image.tags.includes(tag));
    return [...others.map((owner) => ({ ...owner, tags: without(owner) })), image];
  };
  /** Known only when it is written: what a full disk refused must not be there for the next pull. */
  const put = (image: ImageRecord, into: Records<ImageRecord>, within: Store, alongside = () => {}) => {
    const changed = changesOf(image);
    within.transaction(() => {
      alongside();
      for (const each of changed) into.put(each.id, each);
    });
    for (const each of changed) remember(each);
  };
  return {
    all: () => [...images.values()],
    get: (id) => images.get(id),
    find: (reference) => {
      const id = byName.get(reference) ?? findByName(reference, byName) ?? findById(reference, images);
      return id === undefined ? undefined : images.get(id);
    },
    put: (image) => put(image, records, store),
    putGrouped: (image, alongside) => put(image, groupedRecords, grouped, alongside),
    delete: (id) => {
      const image = images.get(id);
      if (image === undefined) return;
      records.delete(id);
      images.delete(id);
      forget(image);
    },
  };
}

function findByName(reference: string, byName: ReadonlyMap<string, string>): string | undefined {
  try {
    const parsed = parseReference(reference);
    // With both, the digest decides and the tag is only said.
    const { tag, ...rest } = parsed;
    return byName.get(formatReference(parsed.digest === undefined ? { ...rest, tag } : rest));
  } catch (error) {
    if (error instanceof SkiffError) return undefined; // An id, or nothing that could be an image.
    throw error;
  }
}

/** Shortest id prefix that is looked for; shorter ones are more likely mistakes. */
const minPrefix = 4;

function findById(reference: string, images: ReadonlyMap<string, ImageRecord>): string | undefined {
  if (isDigest(reference)) {
    if (images.has(reference)) return reference;
    const named = [...images.values()].find(
      (image) =>
        image.manifest.digest === reference || image.digests.some((name) => name.endsWith(`@${reference}`)),
    );
    return named?.id;
  }
  const prefix = reference.replace(/^sha256:/, '');
  if (prefix.length < minPrefix || !/^[0-9a-f]{1,64}$/.test(prefix)) return undefined;
  const matches = [...images.keys()].filter((id) => id.startsWith(`sha256:${prefix}`));
  return matches.length === 1 ? matches[0] : undefined;
}

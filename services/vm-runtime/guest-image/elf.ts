/** What a kernel's ELF file says of its segments: elf(5), 64 bits. */

const header = { tableOffset: 0x20, entryBytes: 0x36, entries: 0x38 };
const field = { type: 0, fileOffset: 0x08, physicalAddress: 0x18, fileBytes: 0x20, memoryBytes: 0x28 };
const loadable = 1;

/** A part of the file that is loaded. */
export interface Segment {
  /** Where its entry in the table is. */
  entry: number;
  fileOffset: number;
  fileBytes: number;
  /** Where it is loaded. */
  physicalAddress: number;
}

/** All that is loaded, in the order of the table. */
export function loadedSegments(file: Buffer): Segment[] {
  const table = Number(file.readBigUInt64LE(header.tableOffset));
  const entryBytes = file.readUInt16LE(header.entryBytes);
  const entries = Array.from({ length: file.readUInt16LE(header.entries) }, (_, i) => table + i * entryBytes);
  return entries
    .filter((entry) => file.readUInt32LE(entry + field.type) === loadable)
    .map((entry) => ({
      entry,
      fileOffset: Number(file.readBigUInt64LE(entry + field.fileOffset)),
      fileBytes: Number(file.readBigUInt64LE(entry + field.fileBytes)),
      physicalAddress: Number(file.readBigUInt64LE(entry + field.physicalAddress)),
    }));
}

/** Sets how much of a segment is loaded, and how much memory it takes. */
export function resizeSegment(file: Buffer, { entry }: Segment, bytes: number): void {
  for (const size of [field.fileBytes, field.memoryBytes]) file.writeBigUInt64LE(BigInt(bytes), entry + size);
}

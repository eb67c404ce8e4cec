/** Takes the kernel out of its wrapping: Debian's package, then the boot loader's format (Linux' boot protocol). */
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { SkiffError } from '#foundation/base/errors.ts';
import { runCommand } from '#foundation/linux/command.ts';
import { loadedSegments, resizeSegment } from './elf.ts';

/** A kernel package, unpacked. */
export interface UnpackedKernel {
  version: string;
  bzImage: string;
  /** The directory of its modules. */
  modules: string;
  /** How often its clock ticks (CONFIG_HZ); undefined if its package does not say so. */
  ticksPerSecond: number | undefined;
}

/** Unpacks a .deb below `directory`. */
export async function unpackPackage(deb: string, directory: string): Promise<UnpackedKernel> {
  await runCommand({ file: 'dpkg-deb', args: ['--extract', deb, directory] });
  const [bzImage] = globSync(join(directory, 'boot/vmlinuz-*'));
  if (bzImage === undefined)
    throw new SkiffError('DATA_LOSS', `${deb} has no kernel: download it anew by \`skiff setup vm\``);
  const version = basename(bzImage).slice('vmlinuz-'.length);
  const roots = ['lib/modules', 'usr/lib/modules'].map((path) => join(directory, path, version));
  const modules = roots.find((path) => globSync(`${path}/kernel`).length > 0);
  if (modules === undefined) throw new SkiffError('DATA_LOSS', `${deb} has no modules for ${version}`);
  const config = join(directory, `boot/config-${version}`);
  const ticks = existsSync(config) ? /^CONFIG_HZ=(\d+)$/m.exec(readFileSync(config, 'utf8'))?.[1] : undefined;
  return { version, bzImage, modules, ticksPerSecond: ticks === undefined ? undefined : Number(ticks) };
}

/** Offsets in the header of a bzImage: https://docs.kernel.org/arch/x86/boot.html */
const header = { setupSectors: 0x1f1, magic: 0x202, payloadOffset: 0x248, payloadLength: 0x24c };
const sectorBytes = 512;
/** What LZ4's older framing begins with, which the kernel's build uses. */
const lz4Legacy = 0x184c2102;
const elf = 0x464c457f;

/** Writes the ELF file that a bzImage wraps, without its symbols. */
export async function extractVmlinux(bzImage: string, target: string): Promise<void> {
  const packed = `${target}.lz4`;
  writeFileSync(packed, payloadOf(readFileSync(bzImage), bzImage));
  await runCommand({ file: 'lz4', args: ['-d', '-f', '-q', packed, target] });
  await runCommand({ file: 'rm', args: ['-f', packed] });
  const start = readFileSync(target).readUInt32LE(0);
  if (start !== elf) throw new SkiffError('DATA_LOSS', `What ${bzImage} holds is no ELF file`);
  await runCommand({ file: 'strip', args: ['--strip-all', target] });
  writeFileSync(target, withoutZeros(readFileSync(target)));
}

/**
 * Leaves out the zeros that segments end with, a quarter of the kernel: a VM's memory is zeros already, and a
 * hypervisor would copy them there.
 */
export function withoutZeros(file: Buffer): Buffer {
  const result = Buffer.from(file);
  for (const segment of loadedSegments(file)) {
    let bytes = segment.fileBytes;
    while (bytes > 0 && file[segment.fileOffset + bytes - 1] === 0) bytes -= 1;
    resizeSegment(result, segment, bytes);
  }
  return result;
}

/** The compressed kernel in a bzImage, without the length that the build puts behind it. */
export function payloadOf(image: Buffer, name: string): Buffer {
  const refuse = (why: string) =>
    new SkiffError(
      'DATA_LOSS',
      `Cannot take the kernel out of ${name}: ${why}; \`skiff setup vm\` gets it anew`,
    );
  if (image.length < 0x260 || image.toString('latin1', header.magic, header.magic + 4) !== 'HdrS')
    throw refuse('it is no bzImage');
  const sectors = image.readUInt8(header.setupSectors) || 4;
  const from = (sectors + 1) * sectorBytes + image.readUInt32LE(header.payloadOffset);
  const end = from + image.readUInt32LE(header.payloadLength);
  if (end > image.length || end - from < 8) throw refuse('it is cut off');
  if (image.readUInt32LE(from) !== lz4Legacy)
    throw refuse('it is not compressed by LZ4, as Debian 12 does it');
  return image.subarray(from, end - 4);
}

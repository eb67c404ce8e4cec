/**
 * Gzip decompression by ISA-L (Debian's libisal2), which takes less time than zlib for the same bytes. Its structure is not
 * opaque, so the offsets of version 2.30 stand here; a sample is decompressed first, and where that does not
 * give what it must (another version, another processor), zlib is used.
 */
import { SkiffError } from '#foundation/base/errors.ts';
import type { Inflater } from './inflate.ts';
import { addressOf, openLibrary } from './libc.ts';

/** Offsets in `struct inflate_state` of igzip_lib.h, 2.30. */
const at = { nextOut: 0, availOut: 8, nextIn: 16, availIn: 32, blockState: 21160, crcFlag: 21172 } as const;
/** More than sizeof(struct inflate_state), which is about 87,400. */
const stateBytes = 131_072;
/** ISAL_GZIP: read the header, check the trailer. */
const gzip = 1;
/** ISAL_BLOCK_FINISH. */
const finished = 5;

/**
 * What makes gzip decompressors of ISA-L.
 *
 * @returns undefined where the library is missing or does not pass its trial.
 */
export function isalInflaters(): (() => Inflater) | undefined {
  const library = openLibrary('libisal.so.2');
  if (library === undefined) return undefined;
  try {
    const init = library('void isal_inflate_init(void *state)');
    const inflate = library('int isal_inflate(void *state)');
    const make = () => isalInflater(init, inflate);
    return passesTrial(make) ? make : undefined;
  } catch {
    return undefined; // It lacks these functions.
  }
}

type Call = (state: Uint8Array) => number;

function isalInflater(init: Call, inflate: Call): Inflater {
  const state = Buffer.alloc(stateBytes);
  const reset = () => {
    init(state);
    state.writeUInt32LE(gzip, at.crcFlag);
  };
  reset();
  return {
    step(input, output) {
      state.writeBigUInt64LE(addressOf(input), at.nextIn);
      state.writeUInt32LE(input.length, at.availIn);
      state.writeBigUInt64LE(addressOf(output), at.nextOut);
      state.writeUInt32LE(output.length, at.availOut);
      const result = inflate(state);
      if (result < 0) throw new SkiffError('DATA_LOSS', `the gzip data is damaged (isal error ${result})`);
      return {
        consumed: input.length - state.readUInt32LE(at.availIn),
        produced: output.length - state.readUInt32LE(at.availOut),
        ended: state.readUInt32LE(at.blockState) === finished,
      };
    },
    reset,
    close: () => {},
  };
}

/** `printf skiff | gzip -n9`, twice: two members, of which the second begins where the first ended. */
const member = Buffer.from('1f8b08000000000002032bcece4c4b0300e3e5074405000000', 'hex');

function passesTrial(make: () => Inflater): boolean {
  const inflater = make();
  const output = Buffer.alloc(64);
  const two = Buffer.concat([member, member]);
  const first = inflater.step(two, output);
  if (
    !first.ended ||
    first.consumed !== member.length ||
    output.toString('latin1', 0, first.produced) !== 'skiff'
  )
    return false;
  inflater.reset();
  // In pieces, as it will be used: the state must carry over.
  const head = inflater.step(member.subarray(0, 14), output);
  const tail = inflater.step(member.subarray(14), output.subarray(head.produced));
  return tail.ended && !head.ended && output.toString('latin1', 0, head.produced + tail.produced) === 'skiff';
}

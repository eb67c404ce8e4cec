/**
 * Prepares a kernel for an emulated processor: the same kernel, with work done ahead that it does at each boot, and that
 * emulation makes a quarter of the boot. Machines with KVM boot the kernel as Debian made it.
 *
 * A change is made as a whole or not at all: whatever is not exactly as expected (another version, another compiler)
 * leaves the kernel as it was in that place, and it boots as ever, if slower.
 */
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import { loadedSegments } from './elf.ts';
import { kernelMap, kernelSymbols } from './kernel-symbols.ts';

/** Nanoseconds for one count of the local APIC's timer: QEMU's counts at 1 GHz (hw/intc/apic.c). */
const countsPerSecond = 1_000_000_000;

/** Instructions of x86: opcodes, and whole ones. */
const opcode = { call: 0xe8, jump: 0xe9 };
const branchBytes = 5;
const nothing = Buffer.from([0x0f, 0x1f, 0x44, 0x00, 0x00]);
const plainReturn = Buffer.from([0xc3, 0xcc, 0xcc, 0xcc, 0xcc]);

/** Bytes to put at an address. Addresses are less `kernelMap`, so they are physical ones. */
interface Edit {
  address: number;
  bytes: Buffer;
}

interface Kernel {
  file: Buffer;
  ticksPerSecond: number | undefined;
  /** Where an address is in the file. @throws SkiffError NOT_FOUND, as the others do. */
  at(address: number): number;
  symbol(name: string): number;
  /** From a function's first byte to the next symbol. */
  codeOf(name: string): { from: number; to: number };
}

const changes: Record<string, (kernel: Kernel) => Edit[]> = { timer, returns, tracing, freed };

/** @returns a changed copy, and why each of the changes that could not be made was left out. */
export function prepareForEmulation(
  vmlinux: Buffer,
  ticksPerSecond: number | undefined,
): { vmlinux: Buffer; leftOut: string[] } {
  const copy = Buffer.from(vmlinux);
  const leftOut: string[] = [];
  try {
    const kernel = openKernel(vmlinux, ticksPerSecond);
    for (const [name, change] of Object.entries(changes)) {
      try {
        const edits = change(kernel).map(({ address, bytes }) => ({ place: kernel.at(address), bytes }));
        for (const { place, bytes } of edits) bytes.copy(copy, place);
      } catch (error) {
        leftOut.push(`${name}: ${messageOf(error)}`);
      }
    }
  } catch (error) {
    leftOut.push(messageOf(error));
  }
  return { vmlinux: copy, leftOut };
}

/**
 * The rate of the timer. Unless the kernel knows how far the local APIC counts in a tick it measures that for 100 ms
 * (calibrate_APIC_clock in arch/x86/kernel/apic/apic.c), which goes wrong on a busy host (boot-guard.ts of the hypervisor):
 *
 *              call lapic_init_clockevent      only if lapic_timer_period is known
 *              test %eax,%eax
 *              jne  measure
 *              ...
 *     measure: cmpl $0,apic_verbosity          a message, if it is wanted
 *              jle  ...
 *              mov  $message,%rdi
 *
 * Where it would begin to measure it is told the period instead, and asks again. The first of these instructions are
 * overwritten: whatever follows is reached through them only.
 */
function timer(kernel: Kernel): Edit[] {
  const { file, at, symbol, ticksPerSecond } = kernel;
  if (ticksPerSecond === undefined) throw unexpected('nothing says how often its clock ticks');
  const period = symbol('lapic_timer_period');
  if (!refersTo(kernel, 'lapic_init_clockevent', period)) throw unexpected('what is asked knows no period');
  const [question] = callsOf(kernel, 'setup_boot_APIC_clock', 'lapic_init_clockevent');
  if (question === undefined) throw unexpected('it does not ask for the period first');
  const answer = at(question) + branchBytes;
  expectBytes(file, answer, [0x85, 0xc0, 0x75]);
  const measure = question + branchBytes + 4 + file.readInt8(answer + 3);
  const message = at(measure);
  expectBytes(file, message, [0x83, 0x3d]);
  if (measure + 7 + file.readInt32LE(message + 2) !== symbol('apic_verbosity'))
    throw unexpected('it does not begin to measure with a message');
  expectBytes(file, message + 6, [0x00, 0x7e]);
  expectBytes(file, message + 9, [0x48, 0xc7, 0xc7]);
  // movl $counts,lapic_timer_period(%rip); jmp question
  const bytes = Buffer.from([0xc7, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, opcode.jump, 0, 0, 0, 0]);
  bytes.writeInt32LE(period - (measure + 10), 2);
  bytes.writeUInt32LE(Math.round(countsPerSecond / ticksPerSecond), 6);
  bytes.writeInt32LE(question - (measure + bytes.length), 11);
  return [{ address: measure, bytes }];
}

/**
 * Plain returns. The compiler has every function end with a jump to a common return, for processors whose returns
 * speculate; at boot 48,000 of them become what they are on any other (apply_returns in arch/x86/kernel/alternative.c),
 * as on the emulated one.
 */
function returns(kernel: Kernel): Edit[] {
  const { file, at, symbol } = kernel;
  const common = symbol('__x86_return_thunk');
  const edits: Edit[] = [];
  for (let entry = symbol('__return_sites'); entry < symbol('__return_sites_end'); entry += 4) {
    const address = entry + file.readInt32LE(at(entry));
    if (!branches(kernel, address, opcode.jump, common)) throw unexpected('a return is none');
    edits.push({ address, bytes: plainReturn });
  }
  return [...edits, leaveOut(kernel, 'alternative_instructions', 'apply_returns')];
}

/**
 * Functions that are not traced. Each of 38,000 begins with a call, which becomes an empty instruction at boot until somebody
 * traces it (ftrace_init in kernel/trace/ftrace.c). Nobody can in a pod: the files of tracing are left out (build.ts).
 * The kernel is told what it takes down itself when that function fails: that there is no tracing.
 */
function tracing(kernel: Kernel): Edit[] {
  const { file, at, symbol } = kernel;
  const traced = symbol('__fentry__');
  const edits: Edit[] = [];
  for (let entry = symbol('__start_mcount_loc'); entry < symbol('__stop_mcount_loc'); entry += 8) {
    const address = Number(file.readBigUInt64LE(at(entry)) - kernelMap);
    if (!branches(kernel, address, opcode.call, traced)) throw unexpected('a traced function is none');
    edits.push({ address, bytes: nothing });
  }
  const disabled = { address: symbol('ftrace_disabled'), bytes: Buffer.from([1, 0, 0, 0]) };
  return [...edits, disabled, leaveOut(kernel, 'start_kernel', 'ftrace_init')];
}

/**
 * What is freed after the beginning. The kernel overwrites the code that it needs no more, so that mistakes show, and for
 * each word of it an emulator forgets what it had translated (free_init_pages in arch/x86/mm/init.c):
 *
 *     mov $0xcc,%edx    the value to overwrite it with; free_reserved_area takes -1 for none
 */
function freed({ file, at, codeOf }: Kernel): Edit[] {
  const { from, to } = codeOf('free_init_pages');
  const value = Buffer.from([0xba, 0xcc, 0, 0, 0]);
  const place = file.indexOf(value, at(from));
  if (place < 0 || place > at(to) || file.indexOf(value, place + 1) < at(to))
    throw unexpected('what is freed is not overwritten');
  return [{ address: from + place - at(from), bytes: Buffer.from([0xba, 0xff, 0xff, 0xff, 0xff]) }];
}

function openKernel(file: Buffer, ticksPerSecond: number | undefined): Kernel {
  const segments = loadedSegments(file);
  const symbols = kernelSymbols(file);
  const sorted = Float64Array.from([...symbols.values()].flat()).sort();
  const symbol = (name: string) => {
    const [address, ...others] = symbols.get(name) ?? [];
    if (address === undefined || others.length > 0) throw unexpected(`there is not one ${name}`);
    return address;
  };
  return {
    file,
    ticksPerSecond,
    symbol,
    at: (address) => {
      const found = segments.find(
        ({ physicalAddress, fileBytes }) =>
          address >= physicalAddress && address + branchBytes <= physicalAddress + fileBytes,
      );
      if (found === undefined) throw unexpected(`nothing of the file is loaded at 0x${address.toString(16)}`);
      return found.fileOffset + address - found.physicalAddress;
    },
    codeOf: (name) => {
      const from = symbol(name);
      return { from, to: sorted.find((address) => address > from) ?? from };
    },
  };
}

/** Whether there is a call of, or a jump to, `target`. */
function branches({ file, at }: Kernel, address: number, code: number, target: number): boolean {
  const place = at(address);
  return file.readUInt8(place) === code && address + branchBytes + file.readInt32LE(place + 1) === target;
}

/** Where a function calls another. */
function callsOf(kernel: Kernel, caller: string, callee: string): number[] {
  const { from, to } = kernel.codeOf(caller);
  const target = kernel.symbol(callee);
  const calls: number[] = [];
  for (let address = from; address + branchBytes <= to; address += 1)
    if (branches(kernel, address, opcode.call, target)) calls.push(address);
  return calls;
}

/** Leaves the one call of a function out. */
function leaveOut(kernel: Kernel, caller: string, callee: string): Edit {
  const [address, ...others] = callsOf(kernel, caller, callee);
  if (address === undefined || others.length > 0) throw unexpected(`${caller} does not call ${callee} once`);
  return { address, bytes: nothing };
}

/** Whether an instruction of a function ends with the distance to an address. */
function refersTo({ file, at, codeOf }: Kernel, name: string, target: number): boolean {
  const { from, to } = codeOf(name);
  for (let address = from; address + 4 <= to; address += 1)
    if (address + 4 + file.readInt32LE(at(address)) === target) return true;
  return false;
}

function expectBytes(file: Buffer, at: number, bytes: number[]): void {
  if (bytes.some((byte, index) => file[at + index] !== byte)) throw unexpected('its code is another');
}

function unexpected(what: string): SkiffError {
  return new SkiffError('NOT_FOUND', `The kernel is not as expected: ${what}`);
}

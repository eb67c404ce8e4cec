/** Processes of the guest, as the host holds them. */
import type { ProcessState } from '#contracts/vm/agent_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Link } from './link.ts';
import { type Input, type Output, openInput, openOutput } from './streams.ts';
import type { GuestExit, GuestProcess, GuestProcessState } from './types.ts';

/** A process and what ends it on this side. */
export interface HeldProcess {
  readonly process: GuestProcess;
  /** The guest has forgotten it: nothing more will come. */
  forgotten(): void;
}

/** How one is taken up. */
export interface TakeProcess {
  link: Link;
  state: GuestProcessState;
  exited: Promise<GuestExit>;
  /** Bytes of each output that the consumer has. */
  from: { stdout: number; stderr: number };
  /** The guest no longer has it, or never will again. */
  onReleased(): void;
}

/** Takes up the streams of a process. */
export function holdProcess({ link, state, exited, from, onReleased }: TakeProcess): HeldProcess {
  const { handle, containerId, pid, terminal } = state;
  const base = handle * 4;
  const input: Input = openInput(link, base, state.stdinReceived, state.stdinEnded);
  const outputs: Record<'stdout' | 'stderr', Output> = {
    stdout: openOutput(link, base + 1, from.stdout),
    stderr: openOutput(link, base + 2, from.stderr),
  };
  const what = `Cannot reach process ${pid} of container "${containerId}" in the guest`;
  let isReleased = false;
  const forgotten = () => {
    isReleased = true;
    onReleased();
    input.finish();
    for (const { finish } of Object.values(outputs)) finish();
  };
  const process: GuestProcess = {
    handle,
    containerId,
    pid,
    terminal,
    stdin: input.stream,
    stdout: outputs.stdout.stream,
    stderr: outputs.stderr.stream,
    exited,
    positions: () => ({
      stdin: input.received(),
      stdout: outputs.stdout.taken(),
      stderr: outputs.stderr.taken(),
    }),
    confirm: (stream, count) => outputs[stream].confirm(count),
    async signal(signal, { all = false, ...options } = {}) {
      await link.call(what, { case: 'signal', value: { handle, signal, all } }, 10_000, options);
    },
    async resize({ columns, rows }, options) {
      await link.call(what, { case: 'resize', value: { handle, columns, rows } }, 10_000, options);
    },
    async release(options) {
      if (isReleased) return;
      await link.call(what, { case: 'release', value: { handle } }, 10_000, options);
      forgotten();
    },
  };
  return { process, forgotten };
}

/** What the guest says of a process, checked. */
export function processState(state: ProcessState): GuestProcessState {
  return {
    handle: state.handle,
    containerId: state.containerId,
    pid: state.pid,
    terminal: state.terminal,
    exit: state.exited ? exitOf(state) : undefined,
    stdinReceived: countOf(state.received),
    stdinEnded: state.inputEnded,
    stdoutFrom: countOf(state.outputConsumed),
    stderrFrom: countOf(state.errorConsumed),
  };
}

/** How a process ended; numbers that cannot be are made ones that can. */
export function exitOf(state: ProcessState): GuestExit {
  const signal = Math.min(state.signal, 64);
  const written = { stdout: countOf(state.outputWritten), stderr: countOf(state.errorWritten) };
  return { code: signal > 0 ? 128 + signal : state.exitCode & 0xff, signal, at: state.exitedAt, written };
}

function countOf(count: bigint): number {
  if (count <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(count);
  throw new SkiffError('DATA_LOSS', `The guest says that ${count} bytes came by a stream`);
}

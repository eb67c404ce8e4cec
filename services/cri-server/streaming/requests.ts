/** What the CRI demands of Exec, Attach and PortForward requests before a URL is given out. */
import type { AttachRequest, ExecRequest, PortForwardRequest } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';

type Streams = Pick<ExecRequest, 'stdin' | 'stdout' | 'stderr' | 'tty'>;

/** @throws SkiffError INVALID_ARGUMENT that says what is missing. */
export function checkExec(request: ExecRequest): void {
  if (request.containerId === '') throw invalid('exec', 'container_id is missing');
  if (request.cmd.length === 0) throw invalid('exec', 'cmd is empty: name the program to run');
  checkStreams('exec', request);
}

/** @throws SkiffError INVALID_ARGUMENT that says what is missing. */
export function checkAttach(request: AttachRequest): void {
  if (request.containerId === '') throw invalid('attach', 'container_id is missing');
  checkStreams('attach', request);
}

/** @throws SkiffError INVALID_ARGUMENT that says what is missing. */
export function checkPortForward(request: PortForwardRequest): void {
  if (request.podSandboxId === '') throw invalid('forward ports', 'pod_sandbox_id is missing');
  const wrong = request.port.find((port) => port < 1 || port > 65_535);
  if (wrong !== undefined) throw invalid('forward ports', `${wrong} is no port: 1 to 65535 are`);
}

function checkStreams(verb: string, streams: Streams): void {
  if (streams.tty && streams.stderr) {
    throw invalid(verb, 'tty and stderr exclude each other: a terminal has one output');
  }
  if (!streams.stdin && !streams.stdout && !streams.stderr) {
    throw invalid(verb, 'ask for at least one of stdin, stdout and stderr');
  }
}

function invalid(verb: string, why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', `Cannot ${verb}: ${why}`);
}

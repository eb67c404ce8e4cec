/** The shim's program and its arguments: see ../shim/shim.c. */
import type { PodPaths } from '../supervisor/paths.ts';
import { type LaunchContext, supervisorCommand } from './launch.ts';

/** Which process a shim is to stand for. */
export interface ShimRequest {
  pod: PodPaths;
  container: string;
  /** Of a command; the container's own process without. */
  exec?: string;
  terminal: boolean;
  /** It takes the place of this process: its caller wants an exit code, never a signal. */
  foreground?: boolean;
  /** Where to send the terminal. */
  consoleSocket?: string;
}

/** The shim's arguments, without its own name. */
export function shimArguments(context: LaunchContext, request: ShimRequest): string[] {
  const { pod, container, exec = '-', terminal, consoleSocket } = request;
  return [
    ...(terminal ? ['-t'] : []),
    ...(request.foreground === true ? ['-f'] : []),
    ...(consoleSocket === undefined ? [] : ['-c', consoleSocket]),
    pod.directory,
    container,
    exec,
    '--',
    ...supervisorCommand(context, pod),
  ];
}

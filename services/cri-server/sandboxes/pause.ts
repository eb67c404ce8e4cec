/**
 * The pause process: PID 1 of a PID namespace that all containers of a pod share. It reaps what nobody waits
 * for. Pods whose containers have PID namespaces of their own need none.
 */
import type { PauseProcess } from './deps.ts';
import type { Sandbox } from './lifecycle.ts';
import type { SandboxPaths } from './paths.ts';

/** Starts and ends pause processes. */
export interface PauseDriver {
  start(sandbox: Sandbox, paths: SandboxPaths, signal: AbortSignal): Promise<PauseProcess>;
  /** Ends it and all that lives in its PID namespace; none is success. */
  stop(sandbox: Sandbox, paths: SandboxPaths): Promise<void>;
  /** Whether it still runs; tells it from a later process of the same number. */
  alive(pause: { pid: number; startTime: string }): boolean;
}

/**
 * What the streaming server asks of containers: interactive commands, the streams of a container's own process,
 * and connections into a pod's network.
 */
import type { StreamingRuntime } from '../../ports.ts';
import type { Core } from '../deps.ts';
import { attach } from './attach.ts';
import { dial } from './dial.ts';
import { exec } from './exec.ts';

/** The containers' side of streaming. */
export function streamingRuntime(core: Core): StreamingRuntime {
  return {
    exec: (request, streams) => exec(core, request, streams),
    attach: (request, streams) => attach(core, request, streams),
    dial: (sandboxId, port) => dial(core, sandboxId, port),
  };
}

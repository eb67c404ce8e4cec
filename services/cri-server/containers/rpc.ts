/** The container RPCs of `runtime.v1.RuntimeService`: each unwraps its request, calls its verb, wraps the answer. */

import type { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { type EncodedMessage, encodedMessage } from '#foundation/grpc/encoded.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import { checkpointContainer } from './checkpoint/checkpoint.ts';
import { createContainer } from './create.ts';
import type { Core } from './deps.ts';
import { execSync } from './exec-sync.ts';
import { removeContainer } from './remove.ts';
import { reopenContainerLog } from './reopen-log.ts';
import { startContainer } from './start.ts';
import { listContainers, statusResponse } from './status.ts';
import { stopContainer } from './stop.ts';
import { updateResources } from './update.ts';

/** Containers in one message of a stream. */
const batchSize = 1000;

/** Handlers for the container RPCs. */
export function containerHandlers(core: Core): Handlers<typeof RuntimeService> {
  const listAnswer = keptAnswer();
  return {
    createContainer: async (request) => ({ containerId: await createContainer(core, request) }),
    startContainer: async ({ containerId }, { signal }) => {
      await startContainer(core, containerId, signal);
      return {};
    },
    stopContainer: async ({ containerId, timeout }, { signal }) => {
      await stopContainer(core, containerId, timeout, signal);
      return {};
    },
    removeContainer: async ({ containerId }, { signal }) => {
      await removeContainer(core, containerId, signal);
      return {};
    },
    listContainers: async ({ filter }) => listAnswer(listContainers(core, filter)),
    streamContainers: async function* ({ filter }) {
      const containers = listContainers(core, filter);
      for (let start = 0; start < containers.length; start += batchSize)
        yield encodedMessage(containers.slice(start, start + batchSize));
    },
    containerStatus: async ({ containerId, verbose }) => statusResponse(core, containerId, verbose),
    updateContainerResources: async ({ containerId, linux, annotations }, { signal }) => {
      await updateResources(core, containerId, linux, annotations, signal);
      return {};
    },
    checkpointContainer: async (request, { signal }) => {
      await checkpointContainer(core, request, signal);
      return {};
    },
    reopenContainerLog: async ({ containerId }, { signal }) => {
      await reopenContainerLog(core, containerId, signal);
      return {};
    },
    execSync: async ({ containerId, cmd, timeout }, { signal }) =>
      execSync(core, { containerId, command: cmd, timeoutSeconds: timeout }, signal),
  };
}

/**
 * Puts answers together, and gives the last one again while its parts are the same: a list of 500 containers has 300 kB
 * and is asked for every second, and so much garbage costs more than all else that a list does.
 */
function keptAnswer(): (parts: readonly Uint8Array[]) => EncodedMessage {
  let kept: { parts: readonly Uint8Array[]; answer: EncodedMessage } | undefined;
  return (parts) => {
    if (kept?.parts.length === parts.length && kept.parts.every((part, index) => part === parts[index]))
      return kept.answer;
    const answer = encodedMessage(parts);
    // Lists of one pod come in between; they are small, and must not take the place of the long one.
    if (parts.length >= (kept?.parts.length ?? 0) / 2) kept = { parts, answer };
    return answer;
  };
}

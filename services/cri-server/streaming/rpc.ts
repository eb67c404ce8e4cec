/** Exec, Attach and PortForward: each checks its request and answers with a URL of the streaming server. */
import type { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { StreamingServer } from './index.ts';
import { checkAttach, checkExec, checkPortForward } from './requests.ts';

/** What the handlers need of the rest of the server. */
export interface StreamingHandlerDeps {
  streaming: StreamingServer;
  /** @throws SkiffError NOT_FOUND: no such container; FAILED_PRECONDITION: it is not running. */
  requireRunning(containerId: string): void | Promise<void>;
  /** @throws SkiffError NOT_FOUND: no such sandbox; FAILED_PRECONDITION: it is not ready. */
  requireReady(podSandboxId: string): void | Promise<void>;
}

/** The handlers of the three RPCs. */
export function streamingHandlers(
  deps: StreamingHandlerDeps,
): Pick<Handlers<typeof RuntimeService>, 'exec' | 'attach' | 'portForward'> {
  const { streaming, requireRunning, requireReady } = deps;
  return {
    exec: async (request) => {
      checkExec(request);
      await requireRunning(request.containerId);
      return { url: streaming.getExecUrl(request) };
    },
    attach: async (request) => {
      checkAttach(request);
      await requireRunning(request.containerId);
      return { url: streaming.getAttachUrl(request) };
    },
    portForward: async (request) => {
      checkPortForward(request);
      await requireReady(request.podSandboxId);
      return { url: streaming.getPortForwardUrl(request) };
    },
  };
}

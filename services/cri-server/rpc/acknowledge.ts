/** Calls that change what is recorded are answered when the records are on disk. */
import type { RuntimeService } from '#contracts/cri/runtime_pb.ts';
import type { CallContext, Handlers } from '#foundation/grpc/server.ts';

type RuntimeHandlers = Handlers<typeof RuntimeService>;

const changing = [
  'runPodSandbox',
  'stopPodSandbox',
  'removePodSandbox',
  'updatePodSandboxResources',
  'createContainer',
  'startContainer',
  'stopContainer',
  'removeContainer',
  'updateContainerResources',
] as const satisfies (keyof RuntimeHandlers)[];

type AnyHandler = (request: never, context: CallContext) => Promise<unknown>;

/** The same handlers; those that change something wait for `synced` before they answer. */
export function acknowledgeOnDisk(handlers: RuntimeHandlers, synced: () => Promise<void>): RuntimeHandlers {
  const waiting = changing.flatMap((name) => {
    const handler = handlers[name] as AnyHandler | undefined;
    if (handler === undefined) return [];
    const waits: AnyHandler = async (request, context) => {
      const answer = await handler(request, context);
      await synced();
      return answer;
    };
    return [[name, waits]];
  });
  return { ...handlers, ...Object.fromEntries(waiting) };
}

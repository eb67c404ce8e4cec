/** The CRI's RPCs about sandboxes: each reads as the steps it takes. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  PodSandboxSchema,
  type PodSandboxStatusResponseSchema,
  type RuntimeService,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { nowNanos } from '#foundation/base/time.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { SandboxService } from '../sandboxes/index.ts';
import { infoOf, listItemOf, matches, statusOf } from '../sandboxes/status.ts';

/** Sandboxes in one message of StreamPodSandboxes. */
const batchSize = 1000;

type Statuses = MessageInitShape<typeof PodSandboxStatusResponseSchema>['containersStatuses'];

/**
 * Handlers over a sandbox service.
 *
 * @param containersIn the statuses of a sandbox's containers: with these and a time, PodSandboxStatus tells a whole pod
 *   at one moment, which a kubelet that lives on events (KEP-3386) takes in place of lists.
 */
export function sandboxHandlers(
  sandboxes: SandboxService,
  containersIn: (sandboxId: string) => Statuses,
): Handlers<typeof RuntimeService> {
  return {
    async runPodSandbox(request, { signal }) {
      return { podSandboxId: await sandboxes.run(request, signal) };
    },
    async stopPodSandbox({ podSandboxId }, { signal }) {
      requireId(podSandboxId);
      await sandboxes.stop(podSandboxId, signal);
      return {};
    },
    async removePodSandbox({ podSandboxId }, { signal }) {
      requireId(podSandboxId);
      await sandboxes.remove(podSandboxId, signal);
      return {};
    },
    async updatePodSandboxResources(request, { signal }) {
      requireId(request.podSandboxId);
      await sandboxes.updateResources(request, signal);
      return {};
    },
    async podSandboxStatus({ podSandboxId, verbose }) {
      const sandbox = sandboxes.get(requireId(podSandboxId));
      if (sandbox === undefined) throw new SkiffError('NOT_FOUND', `No sandbox has the id "${podSandboxId}"`);
      return {
        status: statusOf(sandbox),
        info: verbose ? infoOf(sandbox) : {},
        containersStatuses: containersIn(sandbox.id),
        timestamp: nowNanos(),
      };
    },
    async listPodSandbox({ filter }) {
      const found = sandboxes.visible().filter((sandbox) => matches(sandbox, filter));
      return { items: found.map(listItemOf) };
    },
    async *streamPodSandboxes({ filter }) {
      const found = sandboxes.visible().filter((sandbox) => matches(sandbox, filter));
      for (let at = 0; at < found.length; at += batchSize) {
        const batch = found.slice(at, at + batchSize);
        yield { podSandboxes: batch.map((sandbox) => create(PodSandboxSchema, listItemOf(sandbox))) };
      }
    },
  };
}

function requireId(id: string): string {
  if (id === '') throw new SkiffError('INVALID_ARGUMENT', 'The sandbox id is empty');
  return id;
}

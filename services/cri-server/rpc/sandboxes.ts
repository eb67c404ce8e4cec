/** The CRI's RPCs about sandboxes: each reads as the steps it takes. */
import { create } from '@bufbuild/protobuf';
import { PodSandboxSchema, type RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Handlers } from '#foundation/grpc/server.ts';
import type { SandboxService } from '../sandboxes/index.ts';
import { infoOf, listItemOf, matches, statusOf } from '../sandboxes/status.ts';

/** Sandboxes in one message of StreamPodSandboxes. */
const batchSize = 1000;

/** Handlers over a sandbox service. */
export function sandboxHandlers(sandboxes: SandboxService): Handlers<typeof RuntimeService> {
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
      return { status: statusOf(sandbox), info: verbose ? infoOf(sandbox) : {} };
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

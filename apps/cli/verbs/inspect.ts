/** `skiff inspect`: everything the runtime knows of a container, pod or image, as JSON. */
import { toJson } from '@bufbuild/protobuf';
import type { CriClient } from '#contracts/cri/client.ts';
import {
  ContainerStatusResponseSchema,
  ImageStatusResponseSchema,
  PodSandboxStatusResponseSchema,
} from '#contracts/cri/runtime_pb.ts';
import { isSkiffError, SkiffError } from '#foundation/base/errors.ts';
import type { Context } from '../context.ts';
import { connectNode } from '../node/cri.ts';
import { findTarget } from '../node/targets.ts';
import { listVms, vmConsole } from '../node/vm.ts';

/** Prints a JSON array with one element per thing found, as docker inspect does. */
export async function run(context: Context, name: string): Promise<void> {
  using cri = connectNode(context, 'inspect');
  const found = (await inspectRuntime(context, cri, name)) ?? (await inspectImage(cri, name));
  if (found === undefined) throw new SkiffError('NOT_FOUND', `there is no container, pod or image "${name}"`);
  context.out.write(`${JSON.stringify(found, undefined, 2)}\n`);
}

async function inspectRuntime(
  context: Context,
  cri: CriClient,
  name: string,
): Promise<unknown[] | undefined> {
  const target = await findTarget(cri, name).catch((error: unknown) => {
    if (isSkiffError(error, 'NOT_FOUND')) return undefined;
    throw error;
  });
  if (target === undefined) return undefined;
  const containers = target.kind === 'pod' ? target.containers : [target.container];
  const sandboxes = target.kind === 'pod' ? target.sandboxes : [];
  const parts: unknown[] = [];
  for (const { id } of sandboxes) {
    const status = await cri.runtime.podSandboxStatus({ podSandboxId: id, verbose: true });
    parts.push({
      ...(toJson(PodSandboxStatusResponseSchema, status) as object),
      info: plainInfo(status.info),
      ...(await inspectVm(context, id)),
    });
  }
  for (const { id } of containers) {
    const status = await cri.runtime.containerStatus({ containerId: id, verbose: true });
    parts.push({
      ...(toJson(ContainerStatusResponseSchema, status) as object),
      info: plainInfo(status.info),
    });
  }
  return parts;
}

/** The VM of a sandbox, with the last lines of its console; nothing for one that is none. */
async function inspectVm(context: Context, id: string): Promise<{ vm?: object }> {
  const vm = (await listVms(context.paths)).find((one) => one.id === id);
  if (vm === undefined) return {};
  const text = await vmConsole(context.paths, id).catch(() => '');
  return { vm: { ...vm, console: text.trimEnd().split('\n').slice(-50) } };
}

async function inspectImage(cri: CriClient, name: string): Promise<unknown[] | undefined> {
  const status = await cri.images.imageStatus({ image: { image: name }, verbose: true });
  if (status.image === undefined) return undefined;
  return [{ ...(toJson(ImageStatusResponseSchema, status) as object), info: plainInfo(status.info) }];
}

/** The CRI's verbose info is JSON in strings; it is shown as what it is. */
function plainInfo(info: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(info).map(([key, text]) => {
      try {
        return [key, JSON.parse(text) as unknown];
      } catch {
        return [key, text];
      }
    }),
  );
}

/** Checks a CreateContainer request against what is here before anything is made. */
import { posix } from 'node:path';
import type {
  ContainerConfig,
  ContainerMetadata,
  CreateContainerRequest,
} from '#contracts/cri/runtime_pb.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { LocalImage, SandboxView } from '../ports.ts';
import type { Core } from './deps.ts';

/** A request whose parts are all there. */
export interface ValidRequest {
  config: ContainerConfig & { metadata: ContainerMetadata };
  sandbox: SandboxView;
  image: LocalImage;
}

/**
 * @param checkpointed the image of a checkpoint that the request names instead of one.
 * @throws SkiffError INVALID_ARGUMENT, NOT_FOUND or FAILED_PRECONDITION.
 */
export function validateConfig(
  core: Pick<Core, 'sandboxes' | 'images'>,
  request: CreateContainerRequest,
  checkpointed?: LocalImage,
): ValidRequest {
  const { config } = request;
  if (config === undefined) throw invalid('the request has no config');
  const { metadata } = config;
  if (metadata === undefined || metadata.name === '') throw invalid('the config has no metadata.name');
  const reference = config.image?.image ?? '';
  if (reference === '') throw invalid('the config has no image');
  if (request.podSandboxId === '') throw invalid('the request has no pod_sandbox_id');
  checkLogPath(config.logPath);
  const sandbox = core.sandboxes.find(request.podSandboxId);
  if (sandbox === undefined) throw new SkiffError('NOT_FOUND', 'there is no such sandbox');
  if (!sandbox.ready) throw new SkiffError('FAILED_PRECONDITION', 'the sandbox is not ready: it was stopped');
  const image = checkpointed ?? core.images.find(reference);
  if (image === undefined)
    throw new SkiffError('NOT_FOUND', `the image "${reference}" is not on this machine; pull it first`);
  return { config: { ...config, metadata }, sandbox, image };
}

/** A log path is below the pod's log directory: it must not climb out. */
function checkLogPath(path: string): void {
  if (path.startsWith('/') || path.includes('\0') || posix.normalize(path).split('/').includes('..'))
    throw invalid(`the log_path "${path}" must be relative and stay in the log directory`);
}

function invalid(why: string): SkiffError {
  return new SkiffError('INVALID_ARGUMENT', why);
}

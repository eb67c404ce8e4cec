/** Why a container is not running: the error whose reason becomes its status's `waiting.reason`. */
import { messageOf, SkiffError, wrapError } from '#foundation/base/errors.ts';

/** The original's words (kubelet-facts 4). */
export type WaitingReason =
  | 'CrashLoopBackOff'
  | 'ErrImagePull'
  | 'ImagePullBackOff'
  | 'ErrImageNeverPull'
  | 'InvalidImageName'
  | 'ImageInspectError'
  | 'RegistryUnavailable'
  | 'SignatureValidationFailed'
  | 'CreateContainerConfigError'
  | 'CreateContainerError'
  | 'PostStartHookError'
  | 'RunContainerError';

/** A container could not be started. A class, because catchers tell it from others by what it is. */
export class StartError extends SkiffError {
  readonly reason: WaitingReason;
  /** For back-offs: milliseconds until it is worth trying again. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: WaitingReason,
    message: string,
    options: { cause?: unknown; retryAfterMs?: number } = {},
  ) {
    const code = options.cause === undefined ? 'UNKNOWN' : wrapError(options.cause, reason).code;
    super(code, message, { cause: options.cause });
    this.name = 'StartError';
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Runs `work`; what it throws becomes a StartError of that reason. */
export async function asStartError<T>(reason: WaitingReason, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof StartError) throw error;
    throw new StartError(reason, messageOf(error), { cause: error });
  }
}

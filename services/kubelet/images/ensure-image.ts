/**
 * Sees to it that a container's image is on the machine: pull policy, credentials, back-off, and the
 * original's words for each way it can fail (kubelet-facts 2 and 6).
 */
import type { Image, PodSandboxConfig } from '#contracts/cri/runtime_pb.ts';
import type { Pod } from '#contracts/kubernetes/types.ts';
import { messageOf, SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { uidOf } from '../pods/identity.ts';
import type { EventRecorder } from '../ports.ts';
import { type Backoff, createBackoff } from '../runtime-manager/backoff.ts';
import type { ImageCalls } from '../runtime-manager/runtime-calls.ts';
import { StartError, type WaitingReason } from '../runtime-manager/start-error.ts';
import type { PodCredentials } from './pod-credentials.ts';
import { createPullQueue, type PullQueue } from './pull-queue.ts';
import type { PullRate } from './pull-rate.ts';
import type { PullRecords } from './pull-records.ts';
import { pullPolicyOf, withDefaultTag } from './reference.ts';

/** An image that is there. */
export interface PresentImage {
  /** The runtime's reference, for CreateContainer. */
  ref: string;
  image: Image | undefined;
}

/** What to see to. */
export interface ImageRequest {
  pod: Pod;
  /** The container or volume it is for, for events. */
  container?: string;
  image: string;
  policy: string | undefined;
  sandboxConfig: PodSandboxConfig | undefined;
  runtimeHandler: string;
  signal: AbortSignal;
}

export interface ImagesDeps {
  images: ImageCalls;
  events: EventRecorder;
  credentials: PodCredentials;
  records: PullRecords;
  clock: Clock;
  /** How many pulls at once: 1 for `serializeImagePulls`. */
  parallelPulls: number;
  /** How fast pulls may follow one another; no limit if left out. */
  rate?: PullRate;
  /** Sees how long a pull took, the image's size in bytes, and for which pod it was. */
  observePull?: (seconds: number, bytes: number, podUid: string) => void;
}

/** Pulls images when they are needed. */
export interface ImageManager {
  /** @throws StartError with the reason to show. */
  ensure(request: ImageRequest): Promise<PresentImage>;
}

interface State extends ImagesDeps {
  queue: PullQueue;
  backoff: Backoff;
  /** The last pull failure by back-off key. */
  failures: Map<string, { reason: WaitingReason; message: string; at: number }>;
}

export function createImageManager(deps: ImagesDeps): ImageManager {
  const state: State = {
    ...deps,
    queue: createPullQueue(deps.parallelPulls),
    backoff: createBackoff({ initialMs: 10_000, maxMs: 300_000, resetMs: 600_000 }),
    failures: new Map(),
  };
  return { ensure: (request) => ensureOrSay(state, request) };
}

/** Whatever keeps an image away is told twice, as by the original: what went wrong, and what it is called. */
async function ensureOrSay(state: State, request: ImageRequest): Promise<PresentImage> {
  try {
    return await ensureImage(state, request);
  } catch (error) {
    if (error instanceof StartError) report(state, request, 'Warning', 'Failed', `Error: ${error.reason}`);
    throw error;
  }
}

async function ensureImage(state: State, request: ImageRequest): Promise<PresentImage> {
  const image = withDefaultTag(request.image);
  if (image === undefined) {
    const message = `Failed to apply default image tag "${request.image}": couldn't parse image name: invalid reference format`;
    throw failure(state, request, 'InvalidImageName', message, 'InspectFailed');
  }
  const present = await inspect(state, request, image);
  const policy = pullPolicyOf(request.policy, image);
  if (present !== undefined && policy !== 'Always') {
    const credentials = await state.credentials.forImage(request.pod, image);
    if (state.records.mayUse(image, present.ref, credentials)) {
      const message = `Container image "${request.image}" already present on machine`;
      report(state, request, 'Normal', 'Pulled', message);
      return present;
    }
  }
  if (policy === 'Never') {
    const why =
      present === undefined ? 'is not present' : 'is present but not for the credentials of this pod,';
    const message = `Container image "${request.image}" ${why} with pull policy of Never`;
    throw failure(state, request, 'ErrImageNeverPull', message, 'ErrImageNeverPull');
  }
  return pull(state, request, image);
}

function report(
  state: State,
  { pod, container }: ImageRequest,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
): void {
  state.events.pod(pod, type, reason, message, { container });
}

function failure(
  state: State,
  request: ImageRequest,
  reason: WaitingReason,
  message: string,
  event: string,
): StartError {
  report(state, request, 'Warning', event, message);
  return new StartError(reason, message);
}

async function inspect(
  state: State,
  request: ImageRequest,
  image: string,
): Promise<PresentImage | undefined> {
  try {
    const spec = specFor(request, image);
    const { image: found } = await state.images.imageStatus({ image: spec }, { signal: request.signal });
    return found === undefined || found.id === '' ? undefined : { ref: found.id, image: found };
  } catch (error) {
    const message = `Failed to inspect image "${image}": ${messageOf(error)}`;
    throw failure(state, request, 'ImageInspectError', message, 'InspectFailed');
  }
}

function specFor(request: ImageRequest, image: string) {
  const annotations = request.pod.metadata?.annotations ?? {};
  return { image, userSpecifiedImage: request.image, runtimeHandler: request.runtimeHandler, annotations };
}

async function pull(state: State, request: ImageRequest, image: string): Promise<PresentImage> {
  const key = `${uidOf(request.pod)}_${image}`;
  heedBackoff(state, request, key);
  report(state, request, 'Normal', 'Pulling', `Pulling image "${request.image}"`);
  const asked = state.clock.monotonic();
  let began = asked;
  try {
    const ref = await state.queue.run(`${key} ${request.runtimeHandler}`, async () => {
      began = state.clock.monotonic();
      if (state.rate?.take() === false) throw new SkiffError('RESOURCE_EXHAUSTED', 'pull QPS exceeded');
      return pullWithCredentials(state, request, image);
    });
    const done = state.clock.monotonic();
    state.failures.delete(key);
    state.backoff.forget(key);
    const present = await inspect(state, request, image);
    const size = Number(present?.image?.size ?? 0n);
    const words = `in ${seconds(done - began)} (${seconds(done - asked)} including waiting). Image size: ${size} bytes.`;
    report(state, request, 'Normal', 'Pulled', `Successfully pulled image "${request.image}" ${words}`);
    state.observePull?.((done - began) / 1000, size, uidOf(request.pod));
    return present ?? { ref, image: undefined };
  } catch (error) {
    throw error instanceof StartError ? error : pullFailure(state, request, key, error);
  }
}

/** @throws StartError ImagePullBackOff while a failed pull must not be tried again. */
function heedBackoff(state: State, request: ImageRequest, key: string): void {
  const last = state.failures.get(key);
  if (last === undefined) return;
  const remaining = state.backoff.remaining(key, last.at, state.clock.now());
  if (remaining === 0) return;
  const what = `Back-off pulling image "${request.image}"`;
  report(state, request, 'Normal', 'BackOff', what);
  const message = `${what}: ${last.reason}: ${last.message}`;
  throw new StartError('ImagePullBackOff', message, { retryAfterMs: remaining });
}

/** `1.234s`, as the original prints durations. */
function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)}ms` : `${(Math.round(ms) / 1000).toString()}s`;
}

/** Tries the pod's credentials one after another, then none. */
async function pullWithCredentials(state: State, request: ImageRequest, image: string): Promise<string> {
  const credentials = await state.credentials.forImage(request.pod, image);
  const spec = specFor(request, image);
  const errors: unknown[] = [];
  for (const credential of credentials.length > 0 ? credentials : [undefined]) {
    try {
      const auth = credential === undefined ? {} : { auth: credential };
      const sandboxConfig =
        request.sandboxConfig === undefined ? {} : { sandboxConfig: request.sandboxConfig };
      state.records.begin(image);
      const { imageRef } = await state.images.pullImage(
        { image: spec, ...auth, ...sandboxConfig },
        { signal: request.signal },
      );
      state.records.pulled(image, imageRef, credential);
      return imageRef;
    } catch (error) {
      errors.push(error);
    }
  }
  state.records.failed(image);
  throw errors.length === 1 ? errors[0] : new Error(`[${errors.map(messageOf).join(', ')}]`);
}

/** Runtimes name two failures by the beginning of their message (CRI's errors package). */
const namedFailures: [string, WaitingReason][] = [
  ['RegistryUnavailable', 'RegistryUnavailable'],
  ['SignatureValidationFailed', 'SignatureValidationFailed'],
];

function pullFailure(state: State, request: ImageRequest, key: string, error: unknown): StartError {
  const said = messageOf(error);
  const named = namedFailures.find(([prefix]) => said.startsWith(prefix));
  const reason = named?.[1] ?? 'ErrImagePull';
  const now = state.clock.now();
  state.backoff.next(key, now, now);
  state.backoff.collect(now);
  const message = named === undefined ? said : `image pull failed for ${request.image}: ${said}`;
  state.failures.set(key, { reason, message, at: now });
  report(state, request, 'Warning', 'Failed', `Failed to pull image "${request.image}": ${message}`);
  return new StartError(reason, message, { cause: error, retryAfterMs: state.backoff.delay(key) });
}

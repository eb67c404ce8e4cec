/** Whether the runtime and its network are well, as its Status says and as the relists go. */
import { isSkiffError, messageOf } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import type { RuntimeFeatureView } from '../ports.ts';
import type { RuntimeCalls } from '../runtime-manager/runtime-calls.ts';

/** The runtime is unhealthy when it last said it was well so long ago. */
const maxSilenceMs = 30_000;
/** And when it could not be listed for so long. */
const maxRelistAgeMs = 180_000;

export interface RuntimeState {
  /** Asks the runtime now. Never throws. */
  poll(): Promise<void>;
  runtimeErrors(): string[];
  networkErrors(): string[];
  /** `containerd`, `skiff`: the first part of container ids. */
  name(): string;
  /** `name://version`. */
  version(): string | undefined;
  features(): RuntimeFeatureView;
}

export interface RuntimeStateDeps {
  runtime: RuntimeCalls;
  clock: Clock;
  /** When the last relist succeeded, by `clock.monotonic()`. */
  lastRelist(): number | undefined;
}

export function createRuntimeState({ runtime, clock, lastRelist }: RuntimeStateDeps): RuntimeState {
  let lastOk: number | undefined;
  let runtimeError: string | undefined = 'container runtime status check may not have completed yet';
  let networkError: string | undefined;
  let name = '';
  let version: string | undefined;
  let features: RuntimeFeatureView = { handlers: [], supplementalGroupsPolicy: false };
  return {
    async poll() {
      try {
        if (version === undefined) {
          const answer = await runtime.version({ version: 'v1' });
          name = answer.runtimeName;
          version = `${answer.runtimeName}://${answer.runtimeVersion}`;
        }
        const { status, runtimeHandlers, features: flags } = await runtime.status({});
        features = {
          handlers: runtimeHandlers.map((handler) => ({
            name: handler.name,
            recursiveReadOnlyMounts: handler.features?.recursiveReadOnlyMounts === true,
            userNamespaces: handler.features?.userNamespaces === true,
          })),
          supplementalGroupsPolicy: flags?.supplementalGroupsPolicy === true,
        };
        const problem = (type: string) => {
          const condition = status?.conditions.find((each) => each.type === type);
          if (condition?.status === true) return undefined;
          return `${condition?.reason || `${type} condition is missing`}: ${condition?.message ?? ''}`;
        };
        runtimeError = problem('RuntimeReady');
        networkError = problem('NetworkReady');
        if (runtimeError === undefined) lastOk = clock.monotonic();
      } catch (error) {
        // A runtime that restarts as another version must be asked for its name again.
        if (isSkiffError(error, 'UNAVAILABLE')) version = undefined;
        const silent = lastOk === undefined || clock.monotonic() - lastOk > maxSilenceMs;
        if (silent) runtimeError = `container runtime is down: ${messageOf(error)}`;
      }
    },
    runtimeErrors() {
      const relisted = lastRelist();
      const age = relisted === undefined ? 0 : clock.monotonic() - relisted;
      return [
        ...(runtimeError === undefined ? [] : [runtimeError]),
        ...(age > maxRelistAgeMs
          ? [`PLEG is not healthy: pleg was last seen active ${Math.round(age / 1000)}s ago`]
          : []),
      ];
    },
    networkErrors: () => (networkError === undefined ? [] : [networkError]),
    name: () => name || 'unknown',
    version: () => version,
    features: () => features,
  };
}

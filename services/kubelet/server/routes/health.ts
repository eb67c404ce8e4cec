/** /healthz with its checks, and /configz. */
import type { KubeletConfiguration } from '../../configuration/defaults.ts';
import { durationMs } from '../../configuration/duration.ts';
import type { RuntimeHealth } from '../../ports.ts';
import { sendJson, sendText } from '../answers.ts';
import type { Route } from '../router.ts';

/** Milliseconds without a turn of the sync loop after which the kubelet counts as stuck, at the least. */
const leastLoopLimit = 5 * 60_000;

/** What the checks need. */
export interface HealthDeps {
  configuration: KubeletConfiguration;
  health: Pick<RuntimeHealth, 'syncLoopAge'>;
}

/** The routes. */
export function healthRoutes(deps: HealthDeps): Route[] {
  return [
    { methods: ['GET', 'HEAD'], path: '/healthz', handle: async ({ response }) => answerAll(deps, response) },
    {
      methods: ['GET'],
      path: '/healthz/:check',
      handle: async ({ response, params }) => {
        const problem = checks(deps)[params.check ?? ''];
        if (problem === undefined) sendText(response, '404 page not found\n', 404);
        else answer(response, problem());
      },
    },
    {
      methods: ['GET'],
      path: '/configz',
      handle: async ({ response }) => sendJson(response, { kubeletconfig: deps.configuration }),
    },
  ];
}

/** Which checks pass, by name. */
export function healthResults(deps: HealthDeps): Record<string, boolean> {
  return Object.fromEntries(Object.entries(checks(deps)).map(([name, check]) => [name, check() === '']));
}

type Response = Parameters<typeof sendText>[0];

/** Each check by name: what is wrong, empty for nothing. */
function checks({ health, configuration }: HealthDeps): Record<string, () => string> {
  return {
    ping: () => '',
    log: () => '',
    syncloop: () => {
      const limit = Math.max(leastLoopLimit, 2 * durationMs(configuration.syncFrequency));
      return health.syncLoopAge() > limit ? 'sync Loop took longer than expected' : '';
    },
  };
}

function answerAll(deps: HealthDeps, response: Response): void {
  answer(
    response,
    Object.values(checks(deps))
      .map((check) => check())
      .filter((problem) => problem !== '')
      .join('; '),
  );
}

function answer(response: Response, problem: string): void {
  if (problem === '') sendText(response, 'ok');
  else sendText(response, `internal server error: ${problem}\n`, 500);
}

/**
 * /debug/pprof: where this process spends its time and its memory. The paths are those of Go's net/http/pprof; the
 * answers are V8's (`.cpuprofile`, `.heapprofile`), which Chrome's developer tools and speedscope open.
 * /debug/flags/v: how much is logged.
 */

import type { ServerResponse } from 'node:http';
import { Session } from 'node:inspector/promises';
import { SkiffError } from '#foundation/base/errors.ts';
import type { Logger } from '#foundation/base/log.ts';
import type { Clock } from '#foundation/base/time.ts';
import { sendText } from '../answers.ts';
import { whole } from '../query.ts';
import type { Exchange, Route } from '../router.ts';

/** What profiling needs. */
export interface ProfilingDeps {
  clock: Clock;
  log: Logger;
}

/** Seconds that a profile takes unless told, as pprof; and at most. */
const usualSeconds = 30;
const mostSeconds = 600;

/** The routes of profiles. */
export function profilingRoutes(deps: ProfilingDeps): Route[] {
  let busy = false;
  const alone = (work: (exchange: Exchange) => Promise<void>): Route['handle'] => {
    return async (exchange) => {
      if (busy) throw new SkiffError('RESOURCE_EXHAUSTED', 'another profile is being taken: try again later');
      busy = true;
      try {
        await work(exchange);
      } finally {
        busy = false;
      }
    };
  };
  const get = (path: string, handle: Route['handle']): Route => ({ methods: ['GET'], path, handle });
  return [
    get('/debug/pprof', async ({ response }) => sendText(response, 'cmdline\nheap\nprofile\n')),
    get('/debug/pprof/cmdline', async ({ response }) => sendText(response, process.argv.join('\0'))),
    get(
      '/debug/pprof/profile',
      alone((exchange) => cpuProfile(deps, exchange)),
    ),
    get(
      '/debug/pprof/heap',
      alone((exchange) => heapProfile(deps, exchange)),
    ),
  ];
}

/** The route that sets how much is logged: 4 and more means details, 6 and more everything (klog's levels). */
export function verbosityRoute({ log }: Pick<ProfilingDeps, 'log'>): Route {
  return {
    methods: ['PUT'],
    path: '/debug/flags/v',
    async handle({ request, response }) {
      let body = '';
      for await (const chunk of request) {
        body += chunk;
        if (body.length > 100) break;
      }
      const level = Number(body.trim());
      if (!/^\d{1,2}$/.test(body.trim()))
        throw new SkiffError('INVALID_ARGUMENT', `"${body.slice(0, 20)}" is not a verbosity such as 4`);
      log.level = level >= 6 ? 'trace' : level >= 4 ? 'debug' : 'info';
      sendText(response, `successfully set klog.logging.verbosity to ${level}`);
    },
  };
}

async function cpuProfile({ clock }: ProfilingDeps, { url, response, signal }: Exchange): Promise<void> {
  const seconds = secondsOf(url);
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await clock.sleep(seconds * 1000, signal).catch(() => {});
    const { profile } = await session.post('Profiler.stop');
    if (!signal.aborted) send(response, 'profile.cpuprofile', profile);
  } finally {
    session.disconnect();
  }
}

/** What is allocated within some seconds and still there after them. */
async function heapProfile({ clock }: ProfilingDeps, { url, response, signal }: Exchange): Promise<void> {
  const seconds = secondsOf(url);
  const session = new Session();
  session.connect();
  try {
    await session.post('HeapProfiler.startSampling');
    await clock.sleep(seconds * 1000, signal).catch(() => {});
    const { profile } = await session.post('HeapProfiler.stopSampling');
    if (!signal.aborted) send(response, 'heap.heapprofile', profile);
  } finally {
    session.disconnect();
  }
}

function secondsOf(url: URL): number {
  const seconds = whole(url.searchParams, 'seconds', 1) ?? usualSeconds;
  if (seconds <= mostSeconds) return seconds;
  throw new SkiffError('INVALID_ARGUMENT', `seconds=${seconds} must be at most ${mostSeconds}`);
}

function send(response: ServerResponse, name: string, profile: unknown): void {
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-disposition': `attachment; filename="${name}"`,
  });
  response.end(JSON.stringify(profile));
}

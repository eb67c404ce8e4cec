/** /containerLogs: a container's log, from its file. */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { errnoOf, SkiffError } from '#foundation/base/errors.ts';
import type { Clock } from '#foundation/base/time.ts';
import { type LogOptions, readLog } from '../../logs/reader.ts';
import type { KubeletView } from '../../ports.ts';
import { flag, whole } from '../query.ts';
import type { Exchange, Route } from '../router.ts';
import { podOf } from './find.ts';

/** What logs need. */
export interface LogRouteDeps {
  view: Pick<KubeletView, 'find' | 'containerId'>;
  clock: Clock;
}

/** The route. */
export function containerLogRoutes(deps: LogRouteDeps): Route[] {
  return [
    {
      methods: ['GET'],
      path: '/containerLogs/:namespace/:pod/:container',
      handle: (exchange) => serve(deps, exchange),
    },
  ];
}

async function serve({ view, clock }: LogRouteDeps, exchange: Exchange): Promise<void> {
  const { params, url, response, signal } = exchange;
  const options = logOptions(url.searchParams, clock);
  const pod = podOf(view, params);
  const container = params.container ?? '';
  const previous = flag(url.searchParams, 'previous');
  const { logPath, id } = await view.containerId(pod, container, { previous });
  const running = async () => {
    if (previous) return false;
    const now = await view.containerId(pod, container).catch(() => undefined);
    return now?.id === id && now.running;
  };
  const chunks = readLog(logPath, options, { clock, running }, signal);
  // The first piece is fetched before the headers go, so that a missing file is an HTTP error.
  const first = await chunks.next().catch((error: unknown) => {
    if (errnoOf(error) !== 'ENOENT') throw error;
    throw new SkiffError('NOT_FOUND', `the log of container "${container}" is not there: ${logPath}`);
  });
  response.writeHead(200, { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' });
  response.flushHeaders();
  const all = async function* () {
    if (first.done !== true) yield first.value;
    yield* chunks;
  };
  await pipeline(Readable.from(all()), response).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}

/** The options of a query. @throws SkiffError INVALID_ARGUMENT for what makes no sense. */
function logOptions(query: URLSearchParams, clock: Pick<Clock, 'now'>): LogOptions {
  const seconds = whole(query, 'sinceSeconds', 1);
  const time = query.get('sinceTime');
  if (seconds !== undefined && time !== null)
    throw new SkiffError('INVALID_ARGUMENT', 'at most one of `sinceTime` or `sinceSeconds` may be specified');
  const since = time === null ? undefined : Date.parse(time);
  if (Number.isNaN(since))
    throw new SkiffError('INVALID_ARGUMENT', `sinceTime="${time}" is not an RFC 3339 time`);
  return {
    follow: flag(query, 'follow'),
    timestamps: flag(query, 'timestamps'),
    tailLines: tailLines(query),
    since: seconds === undefined ? since : clock.now() - seconds * 1000,
    limitBytes: whole(query, 'limitBytes', 1),
    stream: streamOf(query.get('stream')),
  };
}

/** `tail` is the old name of `tailLines`; `all` is no limit. */
function tailLines(query: URLSearchParams): number | undefined {
  if (query.get('tailLines') === 'all' || query.get('tail') === 'all') return undefined;
  return whole(query, 'tailLines', 0) ?? whole(query, 'tail', 0);
}

function streamOf(name: string | null): LogOptions['stream'] {
  if (name === null || name === '' || name === 'All') return undefined;
  if (name === 'Stdout' || name === 'stdout') return 'stdout';
  if (name === 'Stderr' || name === 'stderr') return 'stderr';
  throw new SkiffError('INVALID_ARGUMENT', `stream="${name}" must be All, Stdout or Stderr`);
}

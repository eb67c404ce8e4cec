/** /run: a command in a container, its output as the answer; and /checkpoint. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CriClient } from '#contracts/cri/client.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { KubeletView } from '../../ports.ts';
import { sendJson, sendText } from '../answers.ts';
import { whole } from '../query.ts';
import type { Exchange, Route } from '../router.ts';
import { runningContainer } from './find.ts';

/** What running commands and checkpoints need. */
export interface RunDeps {
  view: Pick<KubeletView, 'find' | 'containerId'>;
  cri: Pick<CriClient['runtime'], 'execSync' | 'checkpointContainer'>;
  kubeletRoot: string;
  clock: { now(): number };
}

/** The routes. */
export function runRoutes(deps: RunDeps): Route[] {
  const run: Route['handle'] = (exchange) => runCommand(deps, exchange);
  return [
    { methods: ['POST'], path: '/run/:namespace/:pod/:container', handle: run },
    { methods: ['POST'], path: '/run/:namespace/:pod/:uid/:container', handle: run },
    {
      methods: ['POST'],
      path: '/checkpoint/:namespace/:pod/:container',
      handle: (exchange) => checkpoint(deps, exchange),
    },
  ];
}

async function runCommand(
  { view, cri }: RunDeps,
  { params, url, response, signal }: Exchange,
): Promise<void> {
  const { id } = await runningContainer(view, params);
  const command = (url.searchParams.get('cmd') ?? '').split(' ').filter((word) => word !== '');
  if (command.length === 0)
    throw new SkiffError('INVALID_ARGUMENT', 'query parameter cmd is missing: ?cmd=ls%20-l');
  const answer = await cri.execSync({ containerId: id, cmd: command, timeout: 0n }, { signal });
  const output = Buffer.concat([answer.stdout, answer.stderr]);
  if (answer.exitCode === 0) sendText(response, output);
  else sendText(response, `command '${command.join(' ')}' exited with ${answer.exitCode}: ${output}\n`, 500);
}

async function checkpoint({ view, cri, kubeletRoot, clock }: RunDeps, exchange: Exchange): Promise<void> {
  const { params, url, response, signal } = exchange;
  const { pod, id } = await runningContainer(view, params);
  const directory = join(kubeletRoot, 'checkpoints');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const time = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const { namespace = 'default', name } = pod.metadata;
  const location = join(directory, `checkpoint-${name}_${namespace}-${params.container}-${time}.tar`);
  const timeout = BigInt(whole(url.searchParams, 'timeout', 0) ?? 0);
  await cri.checkpointContainer({ containerId: id, location, timeout }, { signal });
  sendJson(response, { items: [location] });
}

/** /statusz and /flagz: what runs here and with which settings, for people (KEP-4827, KEP-4828). */
import type { KubeletConfiguration } from '../../configuration/defaults.ts';
import { kubeletVersion } from '../../node/node-object.ts';
import { sendText } from '../answers.ts';
import type { Route } from '../router.ts';

/** What the pages show. */
export interface ZpageDeps {
  configuration: KubeletConfiguration;
  hostname: string;
  kubeletRoot: string;
  clock: { now(): number };
  /** Paths that the server serves. */
  paths: () => string[];
}

const warning =
  'This page is for people who look for a fault: its form may change at any time, do not parse it.';

/** The routes. */
export function zpageRoutes(deps: ZpageDeps): Route[] {
  const startedAt = deps.clock.now();
  return [
    {
      methods: ['GET'],
      path: '/statusz',
      handle: async ({ response }) => sendText(response, statusText(deps, startedAt)),
    },
    {
      methods: ['GET'],
      path: '/flagz',
      handle: async ({ response }) => sendText(response, flagText(deps)),
    },
  ];
}

function statusText({ clock, paths }: ZpageDeps, startedAt: number): string {
  const up = Math.floor((clock.now() - startedAt) / 1000);
  const parts = [Math.floor(up / 3600), Math.floor(up / 60) % 60, up % 60];
  const two = (number: number | undefined) => String(number).padStart(2, '0');
  const served = [...new Set(paths().map((path) => `/${path.split('/')[1]}`))].sort();
  return [
    'kubelet statusz',
    warning,
    '',
    `Started: ${new Date(startedAt).toUTCString()}`,
    `Up: ${two(parts[0])} hr ${two(parts[1])} min ${two(parts[2])} sec`,
    `Node version: ${process.version}`,
    `Binary version: ${kubeletVersion.slice(1)}`,
    `Paths: ${served.join(' ')}`,
    '',
  ].join('\n');
}

/** Settings that are no field of the configuration, then its plain fields by name. */
function flagText({ configuration, hostname, kubeletRoot }: ZpageDeps): string {
  const plain = Object.entries(configuration).flatMap(([name, value]) =>
    typeof value === 'object' ? [] : [`${name}=${value}`],
  );
  const own = [`hostname-override=${hostname}`, `root-dir=${kubeletRoot}`];
  return ['kubelet flagz', warning, '', ...own, ...plain.sort(), ''].join('\n');
}

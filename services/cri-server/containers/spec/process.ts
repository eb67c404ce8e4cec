/** What a container runs: arguments, environment, working directory, user, limits. */

import type { ProcessSpec } from '#contracts/oci/runtime.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import type { SpecInput } from './input.ts';
import { securityOf } from './security.ts';
import type { ContainerUser } from './user.ts';

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The process part of config.json. */
export function processSpec(input: SpecInput, user: ContainerUser): ProcessSpec {
  const { config, image } = input;
  const security = securityOf(input);
  return {
    ...(config.tty ? { terminal: true } : {}),
    user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
    args: containerArgs(input),
    env: environment(input),
    cwd: config.workingDir || image.config.WorkingDir || '/',
    noNewPrivileges: config.linux?.securityContext?.noNewPrivs ?? false,
    ...security,
    ...oomScore(input),
  };
}

/** A command replaces the image's entrypoint and its arguments; arguments alone replace the image's. */
function containerArgs({ config, image }: Pick<SpecInput, 'config' | 'image'>): string[] {
  if (config.command.length > 0) return [...config.command, ...config.args];
  const { Entrypoint = [], Cmd = [] } = nullsAway(image.config);
  const args = [...Entrypoint, ...(config.args.length > 0 ? config.args : Cmd)];
  if (args.length > 0) return args;
  throw new SkiffError(
    'INVALID_ARGUMENT',
    'there is nothing to run: neither the request nor the image has a command; set command or args',
  );
}

/** Image configs written by other tools hold `null` where a list is empty. */
function nullsAway(config: SpecInput['image']['config']): { Entrypoint?: string[]; Cmd?: string[] } {
  return { Entrypoint: config.Entrypoint ?? undefined, Cmd: config.Cmd ?? undefined };
}

/** Later ones win: PATH, HOSTNAME, the terminal's, the image's, the request's. */
function environment({ config, image, sandbox, hostname }: SpecInput): string[] {
  const merged = new Map<string, string>();
  const set = (entry: string) => {
    const name = entry.split('=', 1)[0] ?? '';
    if (name !== '') merged.set(name, entry.includes('=') ? entry : `${entry}=`);
  };
  set(defaultPath);
  set(`HOSTNAME=${sandbox.config.hostname || hostname}`);
  if (config.tty) set('TERM=xterm');
  for (const entry of image.config.Env ?? []) set(entry);
  for (const { key, value } of config.envs) set(`${key}=${Buffer.from(value).toString('utf8')}`);
  return [...merged.values()];
}

/** Without CAP_SYS_RESOURCE the kernel refuses to lower the score below our own; the nearest is better than none. */
function oomScore({ config, host }: SpecInput): Pick<ProcessSpec, 'oomScoreAdj'> {
  const wanted = config.linux?.resources?.oomScoreAdj;
  if (wanted === undefined) return {};
  if (wanted < -1000n || wanted > 1000n)
    throw new SkiffError('INVALID_ARGUMENT', `oom_score_adj ${wanted} is not between -1000 and 1000`);
  return { oomScoreAdj: Math.max(Number(wanted), host.lowestOomScoreAdj) };
}

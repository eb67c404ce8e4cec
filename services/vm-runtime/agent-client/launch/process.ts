/** A process of a configuration as steps. */
import { capabilityNames } from '#contracts/oci/capability-names.ts';
import type { CapabilitySets, ProcessSpec } from '#contracts/oci/runtime.ts';
import { NotForLaunch, type Step } from './steps.ts';

/** By number: RLIMIT_* of asm-generic/resource.h. */
const resourceNames = [
  ...['CPU', 'FSIZE', 'DATA', 'STACK', 'CORE', 'RSS', 'NPROC', 'NOFILE', 'MEMLOCK', 'AS', 'LOCKS'],
  ...['SIGPENDING', 'MSGQUEUE', 'NICE', 'RTPRIO', 'RTTIME'],
];

const defaultUmask = 0o022;

/** The steps by the moments that the two kinds of program do them at. */
export interface ProcessSteps {
  /** With the guest's files in sight. */
  before: Step[];
  /** The terminal, if there is one. */
  terminal: Step[];
  /** In the container, still with every right. */
  inside: Step[];
  /** To the process's own user. */
  user: Step;
  /** Behind that. */
  after: Step[];
}

/** Makes them; what is left out is as crun has it. @param console whether a terminal is /dev/console as well. */
export function processSteps(process: Partial<ProcessSpec>, console: boolean): ProcessSteps {
  const { user = { uid: 0, gid: 0 }, args = [], env = [], cwd = '/', terminal, consoleSize } = process;
  const { rlimits = [], oomScoreAdj } = process;
  const { uid, gid, umask = defaultUmask, additionalGids: groups = [] } = user;
  const score: Step[] =
    oomScoreAdj === undefined ? [] : [['write', '/proc/self/oom_score_adj', String(oomScoreAdj)]];
  const home: Step[] = env.some((entry) => entry.startsWith('HOME=')) ? [] : [['home', uid]];
  const { height = 0, width = 0 } = consoleSize ?? {};
  return {
    before: score,
    terminal: terminal === true ? [['terminal', height, width, uid, console]] : [],
    inside: [
      ...rlimits.map(({ type, soft, hard }): Step => ['resource', resourceNumber(type), soft, hard]),
      ['environment', env],
      ...home,
      ['arguments', args],
      ['directory', cwd],
    ],
    user: ['user', uid, gid, umask, groups.length, ...groups],
    after: [['find'], ...(process.noNewPrivileges === true ? [['noNewPrivileges'] as const] : [])],
  };
}

/** The two steps of capabilities, before and behind the change to the process's user. */
export function capabilitySteps(sets: CapabilitySets): { bound: Step; capabilities: Step } {
  const { bounding = [], effective = [], permitted = [], inheritable = [], ambient = [] } = sets;
  const masks = [effective, permitted, inheritable, ambient].map(maskOf);
  return { bound: ['bound', maskOf(bounding)], capabilities: ['capabilities', ...masks] };
}

function maskOf(names: readonly string[]): bigint {
  return names.reduce((mask, name) => {
    const number = capabilityNames.indexOf(`CAP_${name.toUpperCase().replace(/^CAP_/, '')}`);
    if (number < 0) throw new NotForLaunch(`the capability ${name}`);
    return mask | (1n << BigInt(number));
  }, 0n);
}

function resourceNumber(type: string): number {
  const number = resourceNames.indexOf(type.replace(/^RLIMIT_/, ''));
  if (number < 0) throw new NotForLaunch(`the limit ${type}`);
  return number;
}

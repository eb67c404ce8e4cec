/** What a runtime that died leaves behind: containers, their cgroups, rules of iptables. Only its own is touched. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Kills the processes whose root file system lies below a directory, and removes their empty cgroups. */
export async function killContainersBelow(directory: string): Promise<void> {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && rootIsBelow(name, directory));
  const cgroups = pids.flatMap(cgroupsOf);
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
  if (pids.length > 0) await sleep(300);
  for (const cgroup of new Set(cgroups)) {
    try {
      rmdirSync(cgroup);
    } catch {
      // Still in use, or gone already.
    }
  }
}

/** Others in the host's mount namespace see the same mounts: only the process's own root tells. */
function rootIsBelow(pid: string, directory: string): boolean {
  try {
    const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n');
    return lines.some((line) => line.split(' ')[4] === '/' && line.includes(`${directory}/`));
  } catch {
    return false;
  }
}

function cgroupsOf(pid: string): string[] {
  try {
    const lines = readFileSync(`/proc/${pid}/cgroup`, 'utf8').split('\n').filter(Boolean);
    return lines
      .map((line) => line.split(':'))
      .filter(([, , path]) => path !== undefined && path !== '/')
      .flatMap(([, names = '', path]) => {
        const roots = names === '' ? ['unified', ''] : [names.replace('name=', '')];
        return roots.map((root) => `/sys/fs/cgroup/${root}${path}`).filter(existsSync);
      });
  } catch {
    return [];
  }
}

/** Deletes the masquerading and port rules of a CNI network by its name, which their comments carry. */
export function removeNetworkRules(name: string): void {
  const rules = iptables('-S')
    .split('\n')
    .filter((rule) => rule.includes(`"${name}\\"`) || rule.includes(`${name}\\"`));
  for (const rule of rules) {
    const words = [...rule.matchAll(/"((?:\\.|[^"])*)"|(\S+)/g)].map(
      (found) => found[1]?.replaceAll('\\"', '"') ?? found[0],
    );
    iptables('-D', ...words.slice(1));
    const chain = words[words.indexOf('-j') + 1];
    if (chain?.startsWith('CNI-')) {
      iptables('-F', chain);
      iptables('-X', chain);
    }
  }
}

function iptables(...args: string[]): string {
  try {
    return execFileSync('iptables', ['-w', '-t', 'nat', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  } catch {
    return ''; // No iptables, or the rule is gone.
  }
}

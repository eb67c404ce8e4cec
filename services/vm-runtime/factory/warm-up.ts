/**
 * Has a guest do once what every pod asks of it, before there is a pod: a container's life, of the guest's own files.
 * The kernel then has its structures, and a hypervisor that emulates has translated the code.
 */
import { text } from 'node:stream/consumers';
import { SkiffError } from '#foundation/base/errors.ts';
import type { AgentClient } from '../agent-client/types.ts';

/** Kernel modules that pods need sooner or later. */
const modules = ['extra', 'net', 'virtiofs', 'block', 'erofs'];

const id = 'warm-up';
/** The container's root: the guest's own, at another place. */
const root = `/run/${id}`;

/** The runtime tells its version: the only program that every guest has. */
const config = {
  ociVersion: '1.0.2',
  process: {
    user: { uid: 0, gid: 0 },
    args: ['/bin/crun', '--version'],
    env: ['PATH=/bin'],
    cwd: '/',
    noNewPrivileges: true,
    capabilities: { bounding: [], effective: [], permitted: [] },
  },
  root: { path: root },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: ['newinstance', 'ptmxmode=0666'] },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'nodev', 'size=1m'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  ],
  linux: {
    namespaces: ['pid', 'mount', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
    resources: { memory: { limit: 64 * 1024 * 1024 }, pids: { limit: 100 } },
    maskedPaths: ['/proc/kcore'],
    readonlyPaths: ['/proc/sys'],
  },
};

/** Does it; nothing is left of it but the modules. @throws SkiffError INTERNAL if the container does not work. */
export async function warmUp(agent: AgentClient): Promise<void> {
  await agent.configure({ modules });
  await agent.mount({ source: '/', target: root, type: 'bind' });
  const main = await agent.createContainer({
    id,
    config: JSON.stringify(config),
    terminal: false,
    noInput: true,
  });
  const said = Promise.all([text(main.stdout), text(main.stderr)]);
  await agent.startContainer(id);
  const { code } = await main.exited;
  const [output, errors] = await said;
  await agent.deleteContainer(id);
  await agent.unmount(root, { remove: true });
  if (code !== 0 || !output.startsWith('crun'))
    throw new SkiffError('INTERNAL', `A guest's first container ended with ${code}: ${errors || output}`);
}

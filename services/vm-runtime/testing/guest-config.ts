/** What tests run in guests, and where they keep guest images. */

/** Where tests keep guest images; they are named by content, and every test takes the same. */
export const testImages = '/var/cache/skiff/vm/images';
/** What the share holds: busybox, as a container's root. */
const rootInGuest = '/run/share/root';

/** What a test wants of a container. */
export interface TestContainer {
  terminal?: boolean;
  resources?: object;
  mounts?: object[];
  root?: string;
  namespaces?: object[];
  capabilities?: string[];
}

/** An OCI configuration for the guest, as JSON. */
export function testConfig(args: string[], wish: TestContainer = {}): string {
  const { terminal = false, resources = {}, mounts = [], root = rootInGuest } = wish;
  const namespaces = wish.namespaces ?? [{ type: 'pid' }, { type: 'mount' }];
  const dev = {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'mode=755', 'size=1m'],
  };
  const pts = {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
  };
  const process = { ...testProcess(args, terminal, wish.capabilities), noNewPrivileges: true };
  return JSON.stringify({
    ociVersion: '1.0.2',
    process,
    root: { path: root },
    mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }, dev, pts, ...mounts],
    linux: { namespaces, resources },
  });
}

/** An OCI process. */
export function testProcess(args: string[], terminal = false, capabilities: string[] = []) {
  const sets = { bounding: capabilities, effective: capabilities, permitted: capabilities };
  return { terminal, user: { uid: 0, gid: 0 }, args, env: ['PATH=/bin'], cwd: '/', capabilities: sets };
}

/** Everything a stream gives. */
export async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

/** The images that the suite runs, all made from the host's static busybox. */
import { existsSync, readFileSync } from 'node:fs';
import type { ImageConfig } from '#contracts/oci/image.ts';
import { SkiffError } from '#foundation/base/errors.ts';
import { type BuiltImage, buildImage } from './build.ts';
import type { TarEntry } from './tar.ts';

const applets = [
  ...'cat chmod chown cp cut date dd df dmesg echo env expr false grep groups head hostname httpd id ifconfig'.split(
    ' ',
  ),
  ...'ip kill ln ls mkdir mknod mkfifo mount nc nice nproc od pidof ping printenv printf ps pwd readlink rm route sed'.split(
    ' ',
  ),
  ...'seq sh sleep sort stat stty sync sysctl tail tee test touch tr true tty ulimit umount uname unshare wc'.split(
    ' ',
  ),
  ...'wget whoami yes usleep chroot find awk sha256sum setsid timeout cmp'.split(' '),
];

const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'app:x:1000:1000::/srv:/bin/sh',
  'nobody:x:65534:65534::/:/bin/false',
];
const group = ['root:x:0:', 'app:x:1000:', 'extra:x:2000:app', 'other:x:2001:nobody', 'nobody:x:65534:'];

const directories = ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'srv', 'sys', 'tmp', 'usr', 'var'];

function baseLayer(): TarEntry[] {
  return [
    ...directories.map(
      (path): TarEntry => ({ path, type: 'directory', mode: path === 'tmp' ? 0o1777 : 0o755 }),
    ),
    { path: 'bin/busybox', type: 'file', content: readFileSync(findBusybox()) },
    ...applets.map((name): TarEntry => ({ path: `bin/${name}`, type: 'symlink', target: 'busybox' })),
    { path: 'etc/passwd', type: 'file', mode: 0o644, content: `${passwd.join('\n')}\n` },
    { path: 'etc/group', type: 'file', mode: 0o644, content: `${group.join('\n')}\n` },
    { path: 'bin/setuid-id', type: 'symlink', target: 'busybox' },
    { path: 'srv/index.html', type: 'file', mode: 0o644, content: 'served by the pod\n' },
  ];
}

function findBusybox(): string {
  const path = ['/bin/busybox', '/usr/bin/busybox'].find(existsSync);
  if (path !== undefined) return path;
  throw new SkiffError(
    'FAILED_PRECONDITION',
    'The conformance suite makes its images from /bin/busybox, which is not there: install busybox-static',
  );
}

const environment = ['PATH=/usr/local/bin:/bin', 'FROM_IMAGE=yes', 'OVERRIDDEN=by the image'];

/** The images by name: each is published as `conformance/NAME:1`. */
export function testImages(): Record<string, BuiltImage> {
  const base = baseLayer();
  const image = (config: ImageConfig, ...layers: TarEntry[][]) =>
    buildImage([base, ...layers], { Env: environment, ...config });
  return {
    /** A shell and nothing special: sleeps by default. */
    base: image({ Cmd: ['sleep', '3600'], WorkingDir: '/srv' }),
    /** Entrypoint and Cmd both set. */
    entry: image({ Entrypoint: ['/bin/echo', 'entry'], Cmd: ['cmd'] }),
    /** Nothing to run. */
    mute: image({}),
    /** Runs as a user by name, whose group is the one in /etc/passwd; stops by SIGUSR1; has a VOLUME. */
    named: image({
      Cmd: ['sleep', '3600'],
      User: 'app',
      StopSignal: 'SIGUSR1',
      Volumes: { '/var/volume': {} },
    }),
    /** Runs as a user by number. */
    numbered: image({ Cmd: ['sleep', '3600'], User: '1234:2345' }),
    /** A second layer that deletes, replaces and adds. */
    layered: image(
      { Cmd: ['sleep', '3600'] },
      [
        { path: 'opt', type: 'directory' },
        { path: 'opt/kept', type: 'file', content: 'first', mode: 0o644 },
        { path: 'opt/gone', type: 'file', content: 'x', mode: 0o644 },
        { path: 'opt/opaque', type: 'directory' },
        { path: 'opt/opaque/old', type: 'file', content: 'x', mode: 0o644 },
      ],
      [
        { path: 'opt', type: 'directory' },
        { path: 'opt/.wh.gone', type: 'file' },
        { path: 'opt/kept', type: 'file', content: 'second', mode: 0o640, uid: 1000, gid: 2000 },
        { path: 'opt/opaque', type: 'directory' },
        { path: 'opt/opaque/.wh..wh..opq', type: 'file' },
        { path: 'opt/opaque/new', type: 'file', content: 'new', mode: 0o644 },
      ],
    ),
  };
}

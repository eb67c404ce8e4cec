/** Makes the images of the bench from Debian packages, and pushes them. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { pushImage } from '../../test/hostile-images/image.ts';

/** An image in the registry. */
export interface BenchImage {
  name: string;
  reference: string;
  layers: number;
  /** Bytes of the compressed layers. */
  bytes: number;
  /** The compressed layers, for the floor. */
  layerFiles: string[];
}

/** Packages of each of the six layers, about alike in size; the files of a package go where it puts them. */
const six = [
  ['gcc-12', 'cpp-12', 'libgcc-12-dev', 'binutils-x86-64-linux-gnu', 'libc6-dev'],
  ['libllvm15', 'libclang-cpp14'],
  ['libwebkit2gtk-4.0-37', 'libgtk-3-0', 'libgl1-mesa-dri'],
  ['openjdk-17-jre-headless'],
  ['perl-modules-5.36', 'python3.11-minimal', 'libpython3.11-stdlib', 'vim-runtime', 'git', 'libicu72'],
  ['emacs-common', 'libpython3.11', 'fonts-noto-core'],
];

/** The images of the bench. */
export const imageNames = ['six', 'sixty'] as const;

/** Builds what is not there yet of the images with these names. */
export async function buildBenchImages(
  host: string,
  place: string,
  names: readonly (typeof imageNames)[number][] = imageNames,
): Promise<BenchImage[]> {
  const layersOf = {
    six: () => six.map((packages, at) => layerFile(`${place}/layers`, `six-${at}`, packages)),
    sixty: () => readSmallLayers(`${place}/small`, 60),
  };
  const images: BenchImage[] = [];
  for (const name of names) images.push(await push(host, name, layersOf[name]()));
  return images;
}

/** The image that a server has pulled before anything is measured: it shares no layer with the others. */
export function buildFirstImage(host: string, place: string): Promise<BenchImage> {
  return push(host, 'first', readSmallLayers(`${place}/first`, 12));
}

function layerFile(folder: string, name: string, packages: string[]): { tar: string; gzip: string } {
  const root = `${folder}/${name}`;
  const file = { tar: `${root}.tar`, gzip: `${root}.tar.gz` };
  if (existsSync(file.gzip)) return file;
  mkdirSync(root, { recursive: true });
  execFileSync('apt-get', ['download', '-q', ...packages], { cwd: folder, stdio: 'ignore' });
  for (const deb of readdirSync(folder).filter((each) => each.endsWith('.deb'))) {
    execFileSync('dpkg-deb', ['-x', `${folder}/${deb}`, root]);
    execFileSync('rm', [`${folder}/${deb}`]);
  }
  pack(root, file);
  return file;
}

function pack(root: string, file: { tar: string; gzip: string }, ...paths: string[]): void {
  execFileSync('tar', [
    '--sort=name',
    '--numeric-owner',
    '-C',
    root,
    '-cf',
    file.tar,
    ...(paths.length > 0 ? paths : ['.']),
  ]);
  execFileSync('sh', ['-c', `gzip -6 -n < '${file.tar}' > '${file.gzip}'`]);
  execFileSync('rm', ['-rf', root]);
}

/** Layers with a hundred small files each. */
function readSmallLayers(folder: string, count: number): { tar: string; gzip: string }[] {
  mkdirSync(folder, { recursive: true });
  return Array.from({ length: count }, (_, at) => {
    const root = `${folder}/l${at}`;
    const file = { tar: `${root}.tar`, gzip: `${root}.tar.gz` };
    if (existsSync(file.gzip)) return file;
    mkdirSync(`${root}/data/${at}`, { recursive: true });
    for (let index = 0; index < 100; index += 1) {
      const seed = createHash('sha512')
        .update(`${basename(folder)} ${at} ${index}`)
        .digest('hex');
      writeFileSync(`${root}/data/${at}/${index}`, seed.repeat(20 + (index % 50) * 4));
    }
    pack(root, file);
    return file;
  });
}

async function push(host: string, name: string, files: { tar: string; gzip: string }[]): Promise<BenchImage> {
  const layers = files.map(({ tar, gzip }) => ({ tar: readFileSync(tar), blob: readFileSync(gzip) }));
  await pushImage(host, `bench/${name}`, 'v1', { layers, docker: true });
  return {
    name,
    reference: `${host}/bench/${name}:v1`,
    layers: files.length,
    bytes: files.reduce((sum, file) => sum + statSync(file.gzip).size, 0),
    layerFiles: files.map((file) => file.gzip),
  };
}

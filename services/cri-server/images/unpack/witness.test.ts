/** The unpacked result equals what umoci makes of the same image: content, modes, owners, times, links, attributes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describeTree } from '../../../../test/hostile-images/describe-tree.ts';
import { openTestImages, type TestImages } from '../../../../test/hostile-images/harness.ts';
import { type ImageSpec, pushImage } from '../../../../test/hostile-images/image.ts';
import { oddLayers, sparseLayer } from '../../../../test/hostile-images/odd-layers.ts';
import { startRegistry, type TestRegistry } from '../../../../test/hostile-images/registry.ts';

let place: string;
let registry: TestRegistry;
let it: TestImages;

before(async () => {
  place = mkdtempSync('/tmp/skiff-wit-');
  registry = await startRegistry(place);
  it = await openTestImages();
});
after(async () => {
  await it?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  rmSync(place, { recursive: true, force: true });
});

/** Unpacks with umoci what is in the registry under a name. */
function umoci(name: string): string {
  const layout = `${place}/oci-${name}`;
  const bundle = `${place}/bundle-${name}`;
  const source = `docker://${registry.host}/${name}:v1`;
  execFileSync('skopeo', ['copy', '-q', '--src-tls-verify=false', source, `oci:${layout}:v1`]);
  execFileSync('umoci', ['raw', 'unpack', '--image', `${layout}:v1`, bundle], { stdio: 'pipe' });
  return bundle;
}

async function compare(name: string, spec: ImageSpec): Promise<number> {
  await pushImage(registry.host, name, 'v1', spec);
  const image = await it.images.pull({ reference: `${registry.host}/${name}:v1` });
  const { path } = await it.images.prepareRoot({ key: name, imageId: image.id });
  const [mine, theirs] = [describeTree(path), describeTree(umoci(name))];
  // Folders without an entry have no right time: there the two may differ.
  for (const [file, what] of mine) if (what.mtime === 0n) what.mtime = theirs.get(file)?.mtime;
  const different = [...theirs].filter(([file, what]) => !isDeepStrictEqual(mine.get(file), what));
  assert.deepEqual(
    different.map(([file, what]) => ({ file, mine: mine.get(file), theirs: what })),
    [],
    name,
  );
  assert.deepEqual([...mine.keys()], [...theirs.keys()], name);
  await it.images.removeRoot(name);
  return mine.size;
}

/** A tree of Debian packages, as a layer. */
function debianLayer(packages: string[], finish?: (root: string) => void): Buffer {
  const root = `${place}/debian-${packages[0]}`;
  const debs = `${root}.debs`;
  mkdirSync(debs, { recursive: true });
  execFileSync('apt-get', ['download', '-q', ...packages], { cwd: debs, stdio: 'ignore' });
  for (const deb of readdirSync(debs)) execFileSync('dpkg-deb', ['-x', `${debs}/${deb}`, root]);
  finish?.(root);
  const args = [
    '--sort=name',
    '--format=pax',
    '--numeric-owner',
    '--xattrs',
    '--xattrs-include=*',
    '-C',
    root,
    '-c',
    '.',
  ];
  const tar = execFileSync('tar', args, { maxBuffer: 2 ** 30 });
  rmSync(root, { recursive: true });
  return tar;
}

test('five images of Debian packages unpack as umoci unpacks them', async () => {
  const sets: Record<string, () => ImageSpec> = {
    ping: () => ({
      layers: [
        {
          tar: debianLayer(['iputils-ping'], (root) => {
            execFileSync('setcap', ['cap_net_raw+ep', `${root}/bin/ping`]);
            execFileSync('setfattr', ['-n', 'user.note', '-v', 'x', `${root}/bin/ping`]);
          }),
        },
      ],
      docker: true,
    }),
    sudo: () => {
      const tar = debianLayer(['sudo']);
      return {
        layers: [
          { tar, blob: zstdCompressSync(tar), mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd' },
        ],
      };
    },
    cron: () => ({ layers: [{ tar: debianLayer(['cron']) }] }),
    passwd: () => {
      const tar = debianLayer(['passwd']);
      return { layers: [{ tar, blob: tar, mediaType: 'application/vnd.oci.image.layer.v1.tar' }] };
    },
    layered: () => ({
      layers: [
        { tar: debianLayer(['grep']) },
        { tar: debianLayer(['dash']) },
        { tar: debianLayer(['mount']) },
      ],
    }),
  };
  for (const [name, make] of Object.entries(sets)) {
    if (name === 'sudo') continue; // umoci of Debian knows no zstd: below, against its gzip twin.
    assert.ok((await compare(name, make())) > 12, name);
  }
  const sudo = sets.sudo?.();
  const tar = sudo?.layers[0]?.tar ?? Buffer.alloc(0);
  await compare('sudo', { layers: [{ tar, blob: gzipSync(tar) }] });
  await it.images.remove(`${registry.host}/sudo:v1`);
  await pushImage(registry.host, 'sudo-zstd', 'v1', sudo ?? { layers: [] });
  const image = await it.images.pull({ reference: `${registry.host}/sudo-zstd:v1` });
  const { path } = await it.images.prepareRoot({ key: 'zstd', imageId: image.id });
  assert.deepEqual([...describeTree(path)], [...describeTree(`${place}/bundle-sudo`)]);
});

test('an image of every odd entry unpacks as umoci unpacks it', async () => {
  assert.ok((await compare('odd', { layers: oddLayers().map((tar) => ({ tar })) })) > 30);
});

test('sparse files of every format have their bytes and their holes; global records count', async () => {
  await pushImage(registry.host, 'sparse', 'v1', { layers: [{ tar: sparseLayer() }] });
  const image = await it.images.pull({ reference: `${registry.host}/sparse:v1` });
  const { path } = await it.images.prepareRoot({ key: 'sparse', imageId: image.id });
  const expected = Buffer.alloc(300_000);
  expected.write('begin', 0);
  expected.write('middle', 100_000);
  for (const file of ['sparse-gnu', 'sparse-01', 'sparse-10']) {
    assert.ok(readFileSync(`${path}/${file}`).equals(expected), file);
    assert.ok(statSync(`${path}/${file}`).blocks * 512 < 100_000, `${file} has holes`);
  }
  assert.equal(statSync(`${path}/global`).mtimeMs, 77_000);
  assert.ok(statSync(`${path}/old-directory`).isDirectory());
});

/** Faults of mirrors: whatever a mirror does, the registry behind it has the last word. */
import assert from 'node:assert/strict';
import { type FaultCase, readLayer, resolveIt, type Scene } from '../case.ts';
import { authority } from '../certificates.ts';
import type { Fault, FaultContext } from '../server.ts';

const mirrored =
  (settings = '') =>
  ({ registry, other }: Scene) =>
    `server = "${registry.url}"\n[host."${other.url}"]\n${settings}\n`;

const every = (answer: (context: FaultContext) => void) => (): Fault => (context) => {
  answer(context);
  return true;
};

const untouched = ({ registry }: Scene) => assert.equal(registry.hits.length, 0, 'the registry was asked');

export const mirrorFaults: FaultCase[] = [
  {
    name: 'a mirror that has everything: the registry is not asked, and learns the namespace',
    hostsToml: mirrored(),
    after: (scene) => {
      untouched(scene);
      const ns = encodeURIComponent(scene.registry.address);
      assert.ok(scene.other.hits.every(({ path }) => path.endsWith(`?ns=${ns}`)));
    },
  },
  {
    name: 'a mirror without the image',
    hostsToml: mirrored(),
    otherFault: every(({ response }) => response.writeHead(404).end()),
  },
  {
    name: 'a mirror with 500 is left at once',
    hostsToml: mirrored(),
    does: resolveIt,
    otherFault: every(({ response }) => response.writeHead(500).end()),
    after: ({ other }) => assert.equal(other.hits.length, 1),
  },
  {
    name: 'a mirror with 500 is asked once for a whole pull',
    hostsToml: mirrored(),
    otherFault: every(({ response }) => response.writeHead(500).end()),
    after: ({ other, registry }) => {
      assert.equal(other.hits.length, 1);
      assert.equal(registry.hits.length, 2);
    },
  },
  {
    name: 'a mirror that refuses connections',
    hostsToml: ({ registry }) => `server = "${registry.url}"\n[host."http://127.0.0.1:1"]\n`,
  },
  {
    name: 'a mirror that says nothing',
    hostsToml: mirrored(),
    does: resolveIt,
    otherFault: every(() => {}),
  },
  {
    name: 'a mirror with other content under the digest',
    hostsToml: mirrored(),
    does: async ({ client, reference, registry: { image } }) => {
      const { bytes } = await client.resolve({ ...reference, digest: image.descriptor.digest });
      assert.ok(bytes.equals(image.manifest));
    },
    otherFault: every(({ response }) => response.end('{"schemaVersion":2,"layers":[]}')),
  },
  {
    name: 'a mirror with a blob of another size',
    hostsToml: mirrored(),
    does: readLayer,
    otherFault: every(({ response }) => response.end('short')),
  },
  {
    name: 'a mirror that breaks in the middle and is gone: the registry brings the rest',
    hostsToml: mirrored(),
    does: readLayer,
    otherFault: every(({ nth, response, content }) => {
      if (nth > 1) return void response.writeHead(503).end();
      response.writeHead(200, { 'content-length': content.length });
      response.write(content.subarray(0, 100_000), () => response.socket?.resetAndDestroy());
    }),
    after: ({ registry }) => assert.match(registry.hits[0]?.headers.range ?? '', /^bytes=[1-9]/),
  },
  {
    name: 'neither the mirror nor the registry has it',
    hostsToml: mirrored(),
    fault: every(({ response }) => response.writeHead(404).end()),
    otherFault: every(({ response }) => response.writeHead(500).end('disk full')),
    fails: {
      code: 'NOT_FOUND',
      says: /not found: .* answered 404 \[before that, mirror 127\.0\.0\.1:\d+: .*answered 500 \(disk full\)\]/,
    },
  },
  {
    name: 'a mirror that may not resolve tags is asked for blobs alone',
    hostsToml: mirrored('capabilities = ["pull"]'),
    after: ({ registry, other }) => {
      assert.ok(registry.hits.every(({ path }) => path.includes('/manifests/')));
      assert.ok(other.hits.every(({ path }) => path.includes('/blobs/')));
    },
  },
  {
    name: 'a push goes past the mirror',
    hostsToml: mirrored('capabilities = ["pull", "resolve"]'),
    does: ({ client, reference }) => client.pushManifest(reference, 'a/b', Buffer.from('{}')).then(() => {}),
    after: ({ other }) => assert.equal(other.hits.length, 0),
  },
  {
    name: 'nobody may be asked',
    hostsToml: ({ registry }) => `server = "${registry.url}"\ncapabilities = ["push"]\n`,
    fails: { code: 'FAILED_PRECONDITION', says: /no host .* has the capability "resolve"/ },
  },
  {
    name: 'a mirror with headers, another path, and rewritten names',
    hostsToml: ({ registry, other }) =>
      [
        `server = "${registry.url}"`,
        `[host."${other.url}/proxy/v9"]`,
        'override_path = true',
        'dial_timeout = "1s"',
        `[host."${other.url}/proxy/v9".header]`,
        'x-token = ["one", "two"]',
        `[host."${other.url}/proxy/v9".rewrite]`,
        '"^(a.*)$" = "cache/$1"',
      ].join('\n'),
    after: (scene) => {
      untouched(scene);
      assert.match(scene.other.hits[0]?.path ?? '', /^\/proxy\/v9\/cache\/app\/manifests\/v1\?ns=/);
      assert.equal(scene.other.hits[0]?.headers['x-token'], 'one, two');
    },
  },
  {
    name: 'hosts.toml is no TOML',
    hostsToml: () => 'server = "http://x"\nhost = [\n',
    fails: {
      code: 'FAILED_PRECONDITION',
      says: /Invalid registry configuration \/tmp\/.*hosts\.toml: line \d+: /,
    },
  },
  {
    name: 'hosts.toml has a key that nobody knows',
    hostsToml: () => 'skip_verfy = true\n',
    fails: { code: 'FAILED_PRECONDITION', says: /hosts\.toml: top level: .*skip_verfy/ },
  },
  {
    name: 'hosts.toml names a capability that nobody knows',
    hostsToml: () => 'capabilities = ["pull", "fly"]\n',
    fails: { code: 'FAILED_PRECONDITION', says: /unknown capability "fly"/ },
  },
  {
    name: 'hosts.toml names an authority that is not there',
    hostsToml: () => 'ca = "gone.pem"\n',
    fails: { code: 'FAILED_PRECONDITION', says: /Cannot read registry certificate \/tmp\/.*gone\.pem/ },
  },
  {
    name: 'hosts.toml names a duration that is none',
    hostsToml: () => `ca = "${authority.path}"\ndial_timeout = "5 minutes"\n`,
    fails: { code: 'FAILED_PRECONDITION', says: /dial_timeout "5 minutes" must be a duration/ },
  },
];

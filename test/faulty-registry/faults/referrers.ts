/** Faults of lists of referrers. */
import assert from 'node:assert/strict';
import type { FaultCase, Scene } from '../case.ts';
import { describe } from '../sample.ts';
import { type Fault, type FaultContext, sendJson } from '../server.ts';

const type = 'application/vnd.oci.image.index.v1+json';
const all = ['a', 'b', 'c'].map((name) => ({
  ...describe('application/vnd.oci.image.manifest.v1+json', Buffer.from(name)),
  artifactType: `test/${name}`,
}));

const list = (artifactType?: string) => async (scene: Scene) => {
  const { client, reference, registry, auth } = scene;
  const options = { auth, ...(artifactType === undefined ? {} : { artifactType }) };
  const found = await client.listReferrers(reference, registry.image.descriptor.digest, options);
  const wanted = all.filter((each) => artifactType === undefined || each.artifactType === artifactType);
  assert.deepEqual(found, wanted);
};

function page({ response }: FaultContext, manifests: unknown, link?: string): boolean {
  const headers = { 'content-type': type, ...(link === undefined ? {} : { link }) };
  sendJson(response, 200, { schemaVersion: 2, mediaType: type, manifests }, headers);
  return true;
}

/** Answers questions for referrers. */
function onReferrers(answer: (context: FaultContext) => boolean) {
  return (): Fault => (context) => context.hit.path.includes('/referrers/') && answer(context);
}

export const referrersFaults: FaultCase[] = [
  { name: 'a list of referrers', does: list(), fault: onReferrers((context) => page(context, all)) },
  {
    name: 'a list that was not cut down to the type',
    does: list('test/b'),
    fault: onReferrers((context) => page(context, all)),
    after: ({ registry }) => assert.match(registry.hits[0]?.path ?? '', /\?artifactType=test%2Fb$/),
  },
  {
    name: 'a list of three pages',
    does: list(),
    fault: onReferrers((context) => {
      const at = Number(/n=(\d)/.exec(context.hit.path)?.[1] ?? 0);
      const link = at < 2 ? `<?n=${at + 1}>; rel="next"` : undefined;
      return page(context, [all[at]], link);
    }),
  },
  {
    name: 'a list without end',
    does: list(),
    fault: onReferrers((context) => page(context, [], '<?n=1>; rel="next"')),
    fails: { code: 'DATA_LOSS', says: /lists referrers without end/ },
  },
  {
    name: 'a next page at another host',
    does: list(),
    fault: ({ other }) => onReferrers((context) => page(context, all, `<${other.url}/x>; rel="next"`))(),
    after: ({ other }) => assert.equal(other.hits.length, 0),
  },
  {
    name: 'a list that is no index',
    does: list(),
    fault: onReferrers((context) => page(context, [{ digest: 'sha256:x' }])),
    fails: { code: 'DATA_LOSS', says: /list of referrers is malformed/ },
  },
  {
    name: 'no API for referrers, and a list under the tag',
    does: list(),
    fault: () => (context) => {
      if (/\/manifests\/sha256-[0-9a-f]{64}$/.test(context.hit.path)) return page(context, all);
      context.response.writeHead(404).end();
      return true;
    },
  },
  {
    name: 'a page of HTML in place of the API, and no list under the tag',
    does: async ({ client, reference, registry }) =>
      assert.deepEqual(await client.listReferrers(reference, registry.image.descriptor.digest), []),
    fault:
      () =>
      ({ hit, response }) => {
        const isApi = hit.path.includes('/referrers/');
        response.writeHead(isApi ? 200 : 404, { 'content-type': 'text/html' }).end('<html>');
        return true;
      },
  },
];

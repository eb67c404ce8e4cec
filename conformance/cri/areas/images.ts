/** The ImageService. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import type { Context } from '../context.ts';
import { fails } from '../expect.ts';
import { buildImage } from '../images/build.ts';
import { area } from '../rule.ts';

/** A small image that no other check has. */
function ownImage(t: Context, config: object = {}) {
  const content = t.unique('content');
  return buildImage([[{ path: 'f', type: 'file', content }]], { Cmd: ['/f'], ...config });
}

function publish(t: Context, name = t.unique('own'), config: object = {}) {
  const built = ownImage(t, config);
  const reference = t.registry.publish(name, built);
  t.defer(async () => {
    await t.cri.images.removeImage({ image: { image: reference } });
    await t.cri.images.removeImage({ image: { image: built.configDigest } });
  });
  return { built, reference };
}

async function pull(t: Context, image: string, auth?: object): Promise<string> {
  return (await t.cri.images.pullImage({ image: { image }, auth }, { timeoutMs: 60_000 })).imageRef;
}

async function find(t: Context, image: string) {
  return (await t.cri.images.imageStatus({ image: { image } })).image;
}

export const images = area('images', (rule) => {
  rule('PullImage answers the image id, and ImageStatus finds it by tag, id and digest', async (t) => {
    const { built, reference } = publish(t, `${t.unique('own')}:v2`);
    const id = await pull(t, reference);
    assert.equal(id.replace(/^sha256:/, ''), built.configDigest.replace(/^sha256:/, ''));
    const image = await find(t, reference);
    assert.equal(image?.id, id);
    assert.deepEqual(image?.repoTags, [reference]);
    const digest = `${reference.replace(/:v2$/, '')}@${built.manifest.digest}`;
    assert.deepEqual(image?.repoDigests, [digest]);
    assert.ok((image?.size ?? 0n) > 0n);
    for (const name of [id, digest]) assert.equal((await find(t, name))?.id, id, name);
  });

  rule('a reference without a tag means latest', async (t) => {
    const { reference } = publish(t);
    await pull(t, reference.replace(/:latest$/, ''));
    assert.deepEqual((await find(t, reference))?.repoTags, [reference]);
  });

  rule('pulled by digest an image has that digest and no tag', async (t) => {
    const name = t.unique('own');
    const { built } = publish(t, name);
    const digest = `${t.registry.host}/${name}@${built.manifest.digest}`;
    await pull(t, digest);
    const image = await find(t, digest);
    assert.deepEqual(image?.repoTags, []);
    assert.deepEqual(image?.repoDigests, [digest]);
  });

  rule('one image under two names has one id and both names', async (t) => {
    const built = ownImage(t);
    const names = [t.unique('one'), t.unique('two')].map((name) => t.registry.publish(name, built));
    const ids = await Promise.all(names.map((name) => pull(t, name)));
    t.defer(() => t.cri.images.removeImage({ image: { image: built.configDigest } }));
    assert.equal(ids[0], ids[1]);
    const image = await find(t, ids[0] ?? '');
    assert.deepEqual(image?.repoTags.toSorted(), names.toSorted());
  });

  rule('a tag that moved is found at its new image after a pull', async (t) => {
    const name = `${t.unique('own')}:moving`;
    const { reference } = publish(t, name);
    const first = await pull(t, reference);
    const second = publish(t, name);
    assert.notEqual(await pull(t, second.reference), first);
    assert.notEqual((await find(t, reference))?.id, first);
    await t.cri.images.removeImage({ image: { image: first } });
  });

  rule('ImageStatus of an absent image is OK without an image', async (t) => {
    assert.equal(await find(t, `${t.registry.host}/never/there:1`), undefined);
    assert.equal(await find(t, `sha256:${'0'.repeat(64)}`), undefined);
  });

  rule('ListImages lists what was pulled', async (t) => {
    const { reference } = publish(t);
    const id = await pull(t, reference);
    const { images: all } = await t.cri.images.listImages({});
    assert.ok(all.some((each) => each.id === id && each.repoTags.includes(reference)));
  });

  rule('ListImages with a filter lists that image only', async (t) => {
    const { reference } = publish(t);
    const id = await pull(t, reference);
    const { images: some } = await t.cri.images.listImages({ filter: { image: { image: reference } } });
    assert.deepEqual(
      some.map((each) => each.id),
      [id],
    );
  });

  rule('RemoveImage removes at once, twice, and what never was', async (t) => {
    const { reference } = publish(t);
    await pull(t, reference);
    await t.cri.images.removeImage({ image: { image: reference } });
    assert.equal(await find(t, reference), undefined);
    await t.cri.images.removeImage({ image: { image: reference } });
    await t.cri.images.removeImage({ image: { image: `${t.registry.host}/never/there:1` } });
  });

  rule('RemoveImage by id removes all its names', async (t) => {
    const built = ownImage(t);
    const names = [t.unique('one'), t.unique('two')].map((name) => t.registry.publish(name, built));
    for (const name of names) await pull(t, name);
    await t.cri.images.removeImage({ image: { image: built.configDigest } });
    for (const name of names) assert.equal(await find(t, name), undefined);
  });

  rule('RemoveImage many times at once succeeds', async (t) => {
    const { reference } = publish(t);
    const id = await pull(t, reference);
    await Promise.all(Array.from({ length: 8 }, () => t.cri.images.removeImage({ image: { image: id } })));
    assert.equal(await find(t, id), undefined);
  });

  rule(
    'pulled ten times at once an image is fetched once',
    async (t) => {
      const { reference } = publish(t);
      const before = t.registry.served;
      const ids = await Promise.all(Array.from({ length: 10 }, () => pull(t, reference)));
      assert.equal(new Set(ids).size, 1);
      assert.ok(t.registry.served - before <= 2 * 10, 'every pull fetched every blob');
    },
    { alone: true },
  );

  rule('the user of the image is told as uid or username', async (t) => {
    const user = async (name: string) => {
      const image = await find(t, t.images[name] ?? '');
      return { uid: image?.uid?.value, username: image?.username };
    };
    assert.deepEqual(await user('numbered'), { uid: 1234n, username: '' });
    assert.deepEqual(await user('named'), { uid: undefined, username: 'app' });
    const root = await user('base');
    assert.ok(root.uid === undefined || root.uid === 0n);
    assert.equal(root.username, '');
  });

  rule('a password is used, and a wrong one fails', async (t) => {
    const { reference } = publish(t, `private/${t.unique('own')}`);
    await fails(pull(t, reference));
    await fails(pull(t, reference, { username: 'tester', password: 'wrong' }));
    await pull(t, reference, { ...t.registry.password });
    assert.ok(await find(t, reference));
  });

  rule('a password in the form of docker is used', async (t) => {
    const { reference } = publish(t, `private/${t.unique('own')}`);
    const { username, password } = t.registry.password;
    await pull(t, reference, { auth: Buffer.from(`${username}:${password}`).toString('base64') });
  });

  rule('an image that is not in its registry fails with its name and leaves nothing', async (t) => {
    const reference = `${t.registry.host}/never/there:1`;
    assert.match(await fails(pull(t, reference)), /never\/there/);
    assert.equal(await find(t, reference), undefined);
  });

  rule('a registry that fails, or is not there, fails the pull', async (t) => {
    await fails(pull(t, `${t.registry.host}/failing/x:1`));
    await fails(pull(t, '127.0.0.1:1/x/y:1'));
  });

  rule('a deadline ends a pull with DEADLINE_EXCEEDED', async (t) => {
    const call = t.cri.images.pullImage(
      { image: { image: `${t.registry.host}/stalling/x:1` } },
      { timeoutMs: 500 },
    );
    await fails(call, 'DEADLINE_EXCEEDED');
    const { reference } = publish(t);
    await pull(t, reference);
  });

  rule('references that are none fail', async (t) => {
    for (const name of ['', 'UPPER/Case:1', 'a b', `${t.registry.host}/x@sha256:short`, '../../etc/passwd']) {
      await fails(pull(t, name));
    }
  });

  rule('ImageFsInfo names a path of this machine and what is used there', async ({ cri }) => {
    const { imageFilesystems } = await cri.images.imageFsInfo({});
    const first = imageFilesystems[0];
    assert.ok(first !== undefined);
    assert.ok(statSync(first.fsId?.mountpoint ?? '').isDirectory());
    assert.ok(first.timestamp > 0n);
    assert.ok((first.usedBytes?.value ?? 0n) > 0n);
    assert.ok((first.inodesUsed?.value ?? 0n) > 0n);
  });
});

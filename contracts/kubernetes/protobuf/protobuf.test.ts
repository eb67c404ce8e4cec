import assert from 'node:assert/strict';
import { test } from 'node:test';
import { shapeAs } from '../decode/shape.ts';
import { type FieldType, modelNames, modelOf } from '../schema/schema.ts';
import { decodeMessage } from './decode.ts';
import { encodeMessage } from './encode.ts';
import { decodeObject, encodeEvent, encodeObject } from './envelope.ts';
import { messageOf } from './table.ts';
import { bytesField, integerField, openMessage } from './wire.ts';

/** Models whose fields other models repeat, and so end. */
const maxDepth = 7;
const scalars: Record<string, unknown> = {
  string: 'größe',
  boolean: true,
  int32: -2147483648,
  int64: 4503599627370496,
  double: 1.5,
  time: '2026-11-21T12:00:00Z',
  microTime: '2026-11-21T12:00:00.000042Z',
  intOrString: '50%',
  quantity: '1500m',
  bytes: Buffer.from([0, 255, 7]).toString('base64'),
  any: { 'f:metadata': { 'f:labels': {} } },
};

/** A value with every field of its type set. */
function sample(type: FieldType, depth: number): unknown {
  if (type.kind === 'scalar') return scalars[type.name];
  if (type.kind === 'list') return [sample(type.of, depth), sample(type.of, depth)];
  if (type.kind === 'map') return { a: sample(type.of, depth), __proto__x: sample(type.of, depth) };
  if (depth > maxDepth) return {};
  const fields = [...(modelOf(type.name) ?? [])].filter(([name]) => name !== 'apiVersion' || depth > 0);
  return Object.fromEntries(
    fields
      .filter(([name]) => messageOf(type.name)?.byName.has(name) || isPart(type.name, name))
      .map(([name, field]) => [name, sample(field.type, depth + 1)]),
  );
}

function isPart(model: string, name: string): boolean {
  return messageOf(model)?.parts.some(({ part }) => part?.byName.has(name)) === true;
}

test('every model has a message, and every field of it a number of its own', () => {
  for (const model of modelNames()) {
    const message = messageOf(model);
    assert.ok(message !== undefined, model);
    for (const name of modelOf(model)?.keys() ?? [])
      if (!['apiVersion', 'kind'].includes(name))
        assert.ok(message.byName.has(name) || isPart(model, name), `${model}.${name} has no number`);
    const count = message.byName.size + message.parts.length;
    assert.equal(message.byNumber.size, count, `${model} uses a number twice`);
  }
});

test('objects with every field set come back as they went', () => {
  for (const model of modelNames()) {
    const object = sample({ kind: 'model', name: model }, 0) as object;
    assert.deepEqual(decodeMessage(model, encodeMessage(model, object)), object, model);
    assert.deepEqual(shapeAs(model, object).problems, [], model);
  }
});

test('what is empty and was not meant is left out; what points to nothing much stays', () => {
  const bytes = Buffer.concat([
    bytesField(1, ''), // name
    integerField(16, 0), // stdin
    integerField(999, 7),
    bytesField(1000, 'unknown fields are passed over'),
    bytesField(15, integerField(2, 0)), // securityContext.privileged
    bytesField(8, ''), // resources
  ]);
  assert.deepEqual(decodeMessage('Container', bytes), {
    name: '',
    securityContext: { privileged: false },
    resources: {},
  });
  const pod = Buffer.concat([integerField(4, 0), integerField(11, 0), bytesField(10, '')]);
  assert.deepEqual(decodeMessage('PodSpec', pod), { terminationGracePeriodSeconds: 0 });
  assert.deepEqual(decodeMessage('ObjectMeta', bytesField(8, '')), {}, 'a time that is not set');
});

test('a field that comes twice: the last wins, lists and messages go on', () => {
  const meta = Buffer.concat([
    bytesField(1, 'a'),
    bytesField(1, 'b'),
    bytesField(14, 'x'),
    bytesField(14, 'y'),
  ]);
  assert.deepEqual(decodeMessage('ObjectMeta', meta), { name: 'b', finalizers: ['x', 'y'] });
  const pod = Buffer.concat([bytesField(1, bytesField(1, 'n')), bytesField(1, bytesField(3, 'ns'))]);
  assert.deepEqual(decodeMessage('Pod', pod), { metadata: { name: 'n', namespace: 'ns' } });
});

test('the envelope: kind, content, and what is wrong with it', () => {
  const map = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'm' }, data: { a: '1' } };
  const bytes = encodeObject(map);
  assert.equal(bytes.subarray(0, 4).toString(), 'k8s\0');
  assert.deepEqual(decodeObject(bytes, 'ConfigMap'), map);
  assert.deepEqual(decodeObject(bytes, 'Secret'), { apiVersion: 'v1', kind: 'ConfigMap' });
  assert.throws(() => decodeObject(Buffer.from('{"kind":"ConfigMap"}'), 'ConfigMap'), /does not begin/);
  const zipped = Buffer.concat([Buffer.from('k8s\0'), bytesField(3, 'gzip')]);
  assert.throws(() => decodeObject(zipped, 'ConfigMap'), /encoded further/);
  assert.throws(() => encodeObject({ kind: 'Table' }), { code: 'UNIMPLEMENTED' });
  const list = {
    apiVersion: 'v1',
    kind: 'PodList',
    metadata: { resourceVersion: '7' },
    items: [{ spec: {} }],
  };
  assert.deepEqual(decodeObject(encodeObject(list), 'PodList'), list);
  const event = encodeEvent('ADDED', bytes);
  assert.equal(event.readUInt32BE(), event.length - 4);
  const reader = openMessage(event.subarray(4));
  assert.equal(reader.next()?.number, 1);
  assert.equal(reader.bytes().toString(), 'ADDED');
});

test('a body that is cut off or garbled is an error, never a crash or a hang', () => {
  const whole = encodeMessage('Pod', sample({ kind: 'model', name: 'Pod' }, 3) as object);
  let refused = 0;
  for (let at = 0; at < whole.length; at += Math.max(1, Math.floor(whole.length / 100))) {
    for (const bytes of [
      whole.subarray(0, at),
      Buffer.concat([whole.subarray(0, at), Buffer.alloc(3, 0xff)]),
    ]) {
      try {
        decodeMessage('Pod', bytes);
      } catch (error) {
        assert.match(String(error), /not protobuf/);
        refused += 1;
      }
    }
  }
  assert.ok(refused > 100, `only ${refused} were refused`);
  let nested = Buffer.alloc(0);
  for (let depth = 0; depth < 300; depth += 1) nested = Buffer.from(bytesField(1, nested));
  assert.throws(() =>
    decodeMessage('Status', bytesField(1, bytesField(2, Buffer.alloc(11, 0x80)).subarray(0, 9))),
  );
  assert.doesNotThrow(() => decodeMessage('Node', nested));
  assert.throws(() => decodeMessage('ObjectMeta', Buffer.from('0a0b', 'hex')), /ends within a field/);
  assert.throws(() => decodeMessage('ObjectMeta', Buffer.from('08ffffffffffffffffffff', 'hex')));
  assert.throws(() => decodeMessage('ObjectMeta', integerField(1, 5)), /wire type/);
});

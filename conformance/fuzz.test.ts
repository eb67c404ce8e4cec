/** Requests that nobody wrote: bytes that are no message, and messages of any values at all. The server answers each and lives. */
import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { create, type DescField, type DescMessage, ScalarType, toBinary } from '@bufbuild/protobuf';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import { ImageService, RuntimeService } from '#contracts/cri/runtime_pb.ts';
import { pathsUnder } from '#foundation/base/paths.ts';
import { type Machine, startMachine } from './small-machine.ts';

/** Seconds that a call may take. */
const patience = 60;

/** These write files where they are told to, or wait for ever; their random bytes are sent all the same. */
const notInvented = new Set(['CheckpointContainer', 'GetContainerEvents', 'UpdateRuntimeConfig']);

const methods = [RuntimeService, ImageService].flatMap((service) =>
  service.methods.map((method) => ({ method, path: `/${service.typeName}/${method.name}` })),
);

/** Sends bytes as the request of a call. @returns the gRPC status code. */
function send(machine: Machine, path: string, bytes: Uint8Array): Promise<number> {
  const address = `unix://${pathsUnder(machine.root).criSocket}`;
  const client = new Client(address, credentials.createInsecure());
  return new Promise<number>((resolve) => {
    const deadline = Date.now() + patience * 1000;
    const call = client.makeServerStreamRequest(
      path,
      () => Buffer.from(bytes),
      () => ({}),
      {},
      { deadline },
    );
    // A stream of events would go on for ever.
    const enough = path.endsWith('GetContainerEvents') ? setTimeout(() => call.cancel(), 200) : undefined;
    let code = 0;
    call.on('error', (error: ServiceError) => {
      code = error.code;
    });
    call.on('data', () => {});
    call.on('status', (status) => {
      clearTimeout(enough);
      resolve(status.code || code);
    });
  }).finally(() => client.close());
}

const DEADLINE_EXCEEDED = 4;
const UNAVAILABLE = 14;

test('bytes that are no message are refused by every call', async (t) => {
  const machine = await startMachine(t);
  for (const { path } of methods) {
    // A tag of field 1 with a length beyond the end, and what chance brings.
    for (const bytes of [Buffer.from('0affffffff07', 'hex'), randomBytes(randomInt(1, 300))]) {
      const code = await send(machine, path, bytes);
      assert.ok(
        ![DEADLINE_EXCEEDED, UNAVAILABLE].includes(code),
        `${path} ${bytes.toString('hex')}: ${code}`,
      );
    }
  }
  await machine.works();
});

test('messages of any values at all are answered, and nothing is made where they point', async (t) => {
  const machine = await startMachine(t);
  const podSandboxId = await machine.pod();
  const containerId = await machine.create(podSandboxId);
  const texts = [
    ...[
      '',
      'x',
      'x'.repeat(3000),
      '..',
      '../../../tmp/skiff-fuzzed',
      '\u0000',
      '%s%n',
      'ü\u202e',
      '-1',
      '{}',
    ],
    ...[podSandboxId, containerId, machine.image, podSandboxId.slice(0, 9)],
  ];
  for (let round = 0; round < 6; round += 1) {
    for (const { method, path } of methods) {
      if (notInvented.has(method.name)) continue;
      const bytes = toBinary(method.input, create(method.input, invent(method.input, texts, 0)));
      const code = await send(machine, path, bytes);
      assert.ok(
        ![DEADLINE_EXCEEDED, UNAVAILABLE].includes(code),
        `${path} ${Buffer.from(bytes).toString('hex').slice(0, 2000)}: ${code}`,
      );
    }
  }
  assert.ok(!existsSync('/tmp/skiff-fuzzed'));
  await machine.cri.images.pullImage({ image: { image: machine.image } }, { timeoutMs: 60_000 });
  await machine.works();
});

/** Random fields of a message; the deeper, the fewer. */
function invent(schema: DescMessage, texts: readonly string[], depth: number): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const field of schema.fields) {
    if (field.oneof !== undefined || randomInt(depth + 3) === 0 || depth > 5) continue;
    if (field.fieldKind === 'list')
      result[field.localName] = Array.from({ length: randomInt(3) }, () => one(field, texts, depth));
    else if (field.fieldKind === 'map')
      result[field.localName] = { [pick(texts)]: field.mapKind === 'scalar' ? pick(texts) : undefined };
    else result[field.localName] = one(field, texts, depth);
    if (field.fieldKind === 'map' && field.mapKind !== 'scalar') delete result[field.localName];
  }
  return result;
}

function one(field: DescField, texts: readonly string[], depth: number): unknown {
  if (field.message !== undefined) return invent(field.message, texts, depth + 1);
  if (field.enum !== undefined) return pick([0, 1, 2, 3, 99, -1]);
  switch (field.scalar) {
    case ScalarType.STRING:
      return pick(texts);
    case ScalarType.BYTES:
      return randomBytes(randomInt(100));
    case ScalarType.BOOL:
      return randomInt(2) === 1;
    case ScalarType.INT64:
      return pick([0n, 1n, -1n, 2n ** 63n - 1n, -(2n ** 63n)]);
    case ScalarType.UINT64:
      return pick([0n, 1n, 2n ** 64n - 1n]);
    case ScalarType.UINT32:
      return pick([0, 1, 2 ** 32 - 1]);
    case ScalarType.DOUBLE:
      return pick([0, -1, 1e300]);
    default:
      return pick([0, 1, -1, 2 ** 31 - 1, -(2 ** 31)]);
  }
}

function pick<T>(values: readonly T[]): T {
  return values[randomInt(values.length)] as T;
}

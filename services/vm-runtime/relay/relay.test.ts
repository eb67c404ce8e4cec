/** The relay between a guest and a file server that are both played by the test: what is carried, and what ends it. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { closeSync, mkdtempSync, readFileSync, readSync, rmSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { after, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { addressOf } from '#foundation/linux/libc.ts';
import { socketPair } from '#foundation/linux/socket-pair.ts';
import { createSpawner, openPipe } from '#foundation/linux/spawn.ts';
import { receiveDescriptor, sendDescriptors } from '#foundation/linux/unix-fds.ts';
import { relayProgram, startRelay } from './relay.ts';

/** Requests of vhost-user. */
const ask = { memory: 5, size: 8, address: 9, base: 10, kick: 12, call: 13 };
/** Where the guest's memory begins as it sees it, and how much it has. */
const guestAt = 0x10_0000n;
const guestBytes = 4 * 1024 * 1024;
/** As in relay.h. */
const serverAt = 0x1_0000_0000n;
const ring = 8;
const at = { descriptors: 0, available: 4096, used: 8192, data: 65536 };
const flag = { next: 1, writable: 2, indirect: 4 };
const patientMs = 30_000;

const cache = mkdtempSync('/tmp/skiff-vr');
const built = relayProgram(cache);
const spawner = createSpawner();
after(() => {
  spawner[Symbol.dispose]();
  rmSync(cache, { recursive: true });
});

interface Descriptor {
  address?: bigint;
  bytes: number;
  flags: number;
  next?: number;
}

const word = (...values: number[]) => {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => void bytes.writeUInt32LE(value, index * 4));
  return bytes;
};
const long = (...values: bigint[]) => {
  const bytes = Buffer.alloc(values.length * 8);
  values.forEach((value, index) => void bytes.writeBigUInt64LE(BigInt.asUintN(64, value), index * 8));
  return bytes;
};

/** Waits for something that comes by a socket or a pipe. */
async function soon<T>(look: () => T | undefined): Promise<T> {
  for (const end = Date.now() + patientMs; Date.now() < end; await sleep(1)) {
    const found = look();
    if (found !== undefined) return found;
  }
  throw new Error('it did not come');
}

function available(fd: number, bytes: number): Buffer | undefined {
  const buffer = Buffer.alloc(bytes);
  try {
    return buffer.subarray(0, readSync(fd, buffer, 0, bytes, null));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** A relay whose queue runs. */
async function stage(t: TestContext) {
  const program = await built;
  const [near, far] = socketPair();
  const relay = await startRelay({ spawner, program }, { user: 2_000_000_001, server: far });
  relay.giveMemory(process.pid);
  closeSync(far);
  // What Node reads itself loses its descriptors.
  const options = { readable: true, writable: true, pauseOnCreate: true };
  const front = new Socket({ ...options, fd: relay.fd });
  const back = new Socket({ ...options, fd: near });
  for (const socket of [front, back]) socket.on('error', () => {});
  const fds: number[] = [];
  const pipe = () => {
    const { read, write } = openPipe();
    fds.push(read, write);
    return { read, write };
  };
  t.after(async () => {
    front.destroy();
    back.destroy();
    await relay.ended;
    for (const fd of fds) closeSync(fd);
  });
  const memory = Buffer.alloc(guestBytes);
  const user = addressOf(memory);
  const say = (request: number, payload: Buffer, fd?: number) =>
    sendDescriptors(
      front,
      Buffer.concat([word(request, 1, payload.length), payload]),
      fd === undefined ? [] : [fd],
    );
  /** What the server is told, without and with a descriptor. */
  const told = () => soon(() => available(near, 4096));
  const given = async () => {
    const fd = await soon(() => receiveDescriptor(back));
    fds.push(fd);
    return fd;
  };
  say(ask.memory, Buffer.concat([word(1, 0), long(guestAt, BigInt(guestBytes), user, 0n)]));
  const shadow = await given();
  say(ask.size, word(0, ring));
  await told();
  say(ask.base, word(0, 0));
  await told();
  say(
    ask.address,
    Buffer.concat([word(0, 0), long(user, user + BigInt(at.used), user + BigInt(at.available), 0n)]),
  );
  await told();
  const [kick, call] = [pipe(), pipe()];
  say(ask.kick, long(0n), kick.read);
  await given();
  say(ask.call, long(0n), call.write);
  const answer = await given();
  return { relay, memory, front, back, shadow, kick, call, answer, say };
}

type Stage = Awaited<ReturnType<typeof stage>>;

/** Puts descriptors in the guest's table; the first is where a request begins. */
function tabulate({ memory }: Stage, descriptors: readonly Descriptor[]): void {
  descriptors.forEach(({ address, bytes, flags, next = 0 }, index) => {
    const where = address ?? guestAt + BigInt(at.data + index * 65536);
    long(where).copy(memory, at.descriptors + index * 16);
    memory.writeUInt32LE(bytes, at.descriptors + index * 16 + 8);
    memory.writeUInt16LE(flags, at.descriptors + index * 16 + 12);
    memory.writeUInt16LE(next, at.descriptors + index * 16 + 14);
  });
}

function request({ memory, kick }: Stage, heads: readonly number[], index = heads.length): void {
  heads.forEach((head, place) => void memory.writeUInt16LE(head, at.available + 4 + place * 2));
  memory.writeUInt16LE(index, at.available + 2);
  writeSync(kick.write, long(1n));
}

/** What the server sees at a place, and puts there. */
const seen = ({ shadow }: Stage, where: number, bytes: number) => {
  const buffer = Buffer.alloc(bytes);
  readSync(shadow, buffer, 0, bytes, where);
  return buffer;
};
const put = ({ shadow }: Stage, where: number, bytes: Buffer) =>
  void writeSync(shadow, bytes, 0, bytes.length, where);

/** Answers a request as the server. */
function respond(stage: Stage, place: number, id: number, bytes: number): void {
  put(stage, 20480 + 4 + place * 8, word(id, bytes));
  const index = Buffer.alloc(2);
  index.writeUInt16LE(place + 1);
  put(stage, 20480 + 2, index);
  writeSync(stage.answer, long(1n));
}

const pair: Descriptor[] = [
  { bytes: 5, flags: flag.next, next: 1 },
  { bytes: 100, flags: flag.writable },
];

async function endsWith({ relay }: Stage, message: RegExp): Promise<void> {
  assert.deepEqual(await relay.ended, { code: 1 });
  assert.match(await soon(() => relay.said() || undefined), message);
}

test('a request is carried to the server and its answer back; neither sees more of the other', async (t) => {
  const s = await stage(t);
  s.memory.write('hello', at.data);
  s.memory.write('guarded', at.data + 65536 + 100);
  tabulate(s, pair);
  request(s, [0]);
  await soon(() => (seen(s, 16384, 4).readUInt16LE(2) === 1 ? true : undefined));
  const [from, to] = [0, 16].map((entry) => Number(seen(s, entry, 8).readBigUInt64LE() - serverAt));
  assert.equal(seen(s, from ?? 0, 5).toString(), 'hello');
  assert.equal(seen(s, (from ?? 0) + 5, 1)[0], 0);
  // It says that it wrote more than there was room for: no more than that is the guest's.
  put(s, to ?? 0, Buffer.alloc(64 * 1024, 'a'));
  respond(s, 0, 0, 64 * 1024);
  await soon(() => available(s.call.read, 8));
  assert.equal(
    s.memory.toString('latin1', at.data + 65536, at.data + 65536 + 107),
    `${'a'.repeat(100)}guarded`,
  );
  assert.equal(s.memory.readUInt16LE(at.used + 2), 1);
  // It gave up root, may call next to nothing, and what was used for much is given back.
  const status = readFileSync(`/proc/${s.relay.pid}/status`, 'utf8');
  assert.match(status, /^Uid:\s+2000000001\s+2000000001/m);
  assert.match(status, /^CapEff:\s+0+$/m);
  assert.match(status, /^Seccomp:\s+2$/m);
});

const hostile: [string, RegExp, (s: Stage) => void][] = [
  ['a chain that is a ring', /a ring of descriptors/, (s) => loop(s)],
  ['an empty buffer', /wrong size/, (s) => single(s, { bytes: 0, flags: 0 })],
  ['indirect descriptors', /wrong size/, (s) => single(s, { bytes: 16, flags: flag.indirect })],
  ['a buffer of gigabytes', /wrong size/, (s) => single(s, { bytes: 0xffff_ffff, flags: 0 })],
  ['memory before its own', /does not have/, (s) => single(s, { bytes: 8, flags: 0, address: 0n })],
  [
    'memory behind its own',
    /does not have/,
    (s) => single(s, { bytes: 65536, flags: 0, address: guestAt + BigInt(guestBytes) - 8n }),
  ],
  ['memory at the end of all', /does not have/, (s) => single(s, { bytes: 64, flags: 0, address: -32n })],
  ['a descriptor that is none', /a ring of descriptors/, (s) => request(s, [500])],
  [
    'the next one that is none',
    /a ring of descriptors/,
    (s) => single(s, { bytes: 8, flags: flag.next, next: 60_000 }),
  ],
  [
    'one that is in use',
    /names one twice/,
    (s) => {
      tabulate(s, pair);
      request(s, [0, 0]);
    },
  ],
  ['more than its ring holds', /more than its ring holds/, (s) => request(s, [0], 4000)],
];

function single(s: Stage, descriptor: Descriptor): void {
  tabulate(s, [descriptor]);
  request(s, [0]);
}

function loop(s: Stage): void {
  tabulate(s, [
    { bytes: 8, flags: flag.next, next: 1 },
    { bytes: 8, flags: flag.next, next: 0 },
  ]);
  request(s, [0]);
}

for (const [name, message, act] of hostile)
  test(`a guest that names ${name} ends its share, and says why`, async (t) => {
    const s = await stage(t);
    act(s);
    await endsWith(s, message);
  });

test('a server that answers what nobody asked, and a hypervisor that talks rubbish, end it', async (t) => {
  const lying = await stage(t);
  respond(lying, 0, 3, 10);
  await endsWith(lying, /nobody asked/);
  const rubbish = await stage(t);
  sendDescriptors(rubbish.front, Buffer.alloc(64, 0xff), []);
  await endsWith(rubbish, /not vhost-user/);
  const strange = await stage(t);
  strange.say(99, long(0n));
  await endsWith(strange, /not offered/);
});

test('it ends with its hypervisor, and with its server', async (t) => {
  for (const side of ['front', 'back'] as const) {
    const s = await stage(t);
    if (side === 'front') s.front.destroy();
    else s.back.destroy();
    assert.deepEqual(await s.relay.ended, { code: 0 });
  }
});

test('it ends with whoever started it, as long as no hypervisor has it, and is given no memory but that of a process', async () => {
  const [near, far] = socketPair();
  const relay = await startRelay({ spawner, program: await built }, { user: 2_000_000_001, server: far });
  closeSync(far);
  assert.throws(() => relay.giveMemory(2 ** 22 + 1), { code: 'NOT_FOUND', message: /the process 4194305/ });
  relay.close();
  assert.deepEqual(await relay.ended, { code: 0 });
  closeSync(near);
});

test('random rings of a guest are served or end it; nothing else happens', async (t) => {
  for (let round = 0; round < 20; round += 1) {
    const s = await stage(t);
    for (let step = 0; step < 20; step += 1) {
      for (let i = 0; i < 12; i += 1) s.memory[at.descriptors + randomInt(ring * 16)] = randomInt(256);
      tabulate(s, pair.slice(0, randomInt(3)));
      request(s, [randomInt(ring + 1)], step + randomInt(2));
      respond(s, step % ring, randomInt(ring), randomInt(1 << 20));
    }
    const how = await Promise.race([s.relay.ended, sleep(20, { code: 0 })]);
    // 1: refused, with its words; a signal would be above 128.
    assert.ok(
      how.code === 0 || (how.code === 1 && /relay: /.test(await soon(() => s.relay.said() || undefined))),
      JSON.stringify(how),
    );
  }
});

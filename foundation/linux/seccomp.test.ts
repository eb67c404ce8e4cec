import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSkiffError } from '#foundation/base/errors.ts';
import { type FilterSource, filterCompiler } from './seccomp.ts';

const compile = filterCompiler();

/** What a filter says of a call: the steps of classic BPF that libseccomp uses, run over struct seccomp_data. */
function verdict(filter: Buffer, call: number, args: readonly number[] = []): number {
  const data = Buffer.alloc(64);
  data.writeInt32LE(call, 0);
  data.writeUInt32LE(0xc000003e, 4); // AUDIT_ARCH_X86_64
  for (const [index, value] of args.entries()) data.writeBigUInt64LE(BigInt(value), 16 + 8 * index);
  for (let at = 0, accumulator = 0; ; at += 1) {
    const code = filter.readUInt16LE(8 * at);
    const [yes, no, k] = [filter[8 * at + 2] ?? 0, filter[8 * at + 3] ?? 0, filter.readUInt32LE(8 * at + 4)];
    if (code === 0x06) return k;
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) at += accumulator === k ? yes : no;
    else if (code === 0x25) at += accumulator > k ? yes : no;
    else if (code === 0x35) at += accumulator >= k ? yes : no;
    else assert.fail(`step ${code.toString(16)}`);
  }
}

const allowed = 0x7fff0000;
const refused = (errno: number) => 0x50000 + errno;

test('compiles rules, comparisons and error numbers as they are meant', { skip: !compile }, () => {
  const source: FilterSource = {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 38,
    architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
    syscalls: [
      { names: ['read', 'write', 'no_such_call'], action: 'SCMP_ACT_ALLOW' },
      { names: ['mount'], action: 'SCMP_ACT_ERRNO' },
      { names: ['socket'], action: 'SCMP_ACT_ALLOW', args: [{ index: 0, value: 38, op: 'SCMP_CMP_LT' }] },
      {
        names: ['personality'],
        action: 'SCMP_ACT_ALLOW',
        args: [0, 8].map((value) => ({ index: 0, value, op: 'SCMP_CMP_EQ' })),
      },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
    ],
  };
  const filter = compile?.(source) ?? Buffer.alloc(0);
  assert.equal(verdict(filter, 0), allowed);
  assert.equal(verdict(filter, 165), refused(1));
  assert.equal(verdict(filter, 161), refused(38));
  assert.deepEqual([verdict(filter, 41, [2]), verdict(filter, 41, [40])], [allowed, refused(38)]);
  assert.deepEqual(
    [0, 8, 9].map((value) => verdict(filter, 135, [value])),
    [allowed, allowed, refused(38)],
  );
  assert.deepEqual([verdict(filter, 56, [17]), verdict(filter, 56, [0x20000])], [allowed, refused(38)]);
});

test('says what a filter cannot have', { skip: !compile }, () => {
  const wrong: FilterSource[] = [
    { defaultAction: 'SCMP_ACT_NOTIFY' },
    { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_NONE'] },
    {
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['read'], action: 'SCMP_ACT_TRAP', args: [{ index: 0, value: 1, op: 'SCMP_CMP_ODD' }] },
      ],
    },
  ];
  for (const source of wrong)
    assert.throws(
      () => compile?.(source),
      (error) => isSkiffError(error, 'INVALID_ARGUMENT'),
    );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { parseConfig } from './config.ts';

const schema = z.strictObject({
  port: z.number().optional(),
  deep: z.strictObject({ list: z.array(z.string()) }).optional(),
});

test('a good file is parsed and an empty one is an empty object', () => {
  assert.deepEqual(parseConfig(schema, 'port: 1\n', 'c.yaml'), { port: 1 });
  assert.deepEqual(parseConfig(schema, '', 'c.yaml'), {});
});

test('every problem is told with its line and column', () => {
  const text = 'port: many\ndeep:\n  list: [a, 7]\n  lst: x\nprot: 1\n';
  assert.throws(
    () => parseConfig(schema, text, 'c.yaml'),
    (error: Error) => {
      const lines = error.message.split('\n').sort();
      assert.match(lines[0] ?? '', /^c\.yaml:1:7: port: /);
      assert.match(lines[1] ?? '', /^c\.yaml:3:13: deep\.list\.1: /);
      assert.match(lines[2] ?? '', /^c\.yaml:4:3: deep\.lst: unknown key$/);
      assert.match(lines[3] ?? '', /^c\.yaml:5:1: prot: unknown key$/);
      return true;
    },
  );
});

test('a tab and a duplicate key are told with their place', () => {
  assert.throws(() => parseConfig(schema, 'deep:\n\tlist: []\n', 'c.yaml'), /^SkiffError: c\.yaml:2:1: /);
  assert.throws(() => parseConfig(schema, 'port: 1\nport: 2\n', 'c.yaml'), /^SkiffError: c\.yaml:2:1: /);
});
